"""A caller's JSON Schema, held against what a language model answers. Pure.

It understands the part of JSON Schema (2020-12, https://json-schema.org) that pydantic's ``model_json_schema`` writes,
and refuses any other keyword by name: one that is passed over would let a wrong answer through. Values are validated by
pydantic-core, whose regular expressions take linear time. References are written out, within a bound, so that no schema
refers to itself or elsewhere, and no answer takes longer to validate than its length times the schema's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, SchemaError, SchemaValidator, core_schema

from memsys_api.schemas.fields import storable_tree

MOST_PARTS = 1_000
_SHOWN_PROBLEMS = 5
_LONGEST_PROBLEM = 300  # characters
_ANNOTATIONS = frozenset({
    "$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "deprecated",
    "readOnly", "writeOnly", "format", "discriminator", "contentEncoding", "contentMediaType",
})  # fmt: skip
_OF_TYPE = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems", "uniqueItems"}),
    "string": frozenset({"minLength", "maxLength", "pattern"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    "boolean": frozenset[str](),
    "null": frozenset[str](),
}
_COMBINING = frozenset({"$ref", "allOf", "anyOf", "oneOf", "enum", "const", "type"})
_KNOWN = _ANNOTATIONS | _COMBINING | frozenset().union(*_OF_TYPE.values())
_BOUNDS = {"minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt", "exclusiveMaximum": "lt"}


class SchemaRefused(ValueError):
    """The schema cannot be used; ``path`` is where in it, and the message why."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class Shape:
    """What an answer must look like."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises :class:`SchemaRefused` for a schema that is not of objects, or that is not understood."""
        reader = _Reader(schema)
        if schema.get("type", "object") != "object" and "$ref" not in schema:
            raise SchemaRefused("type", "must be object: an export is one JSON object")
        of_objects = core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema(), strict=True)
        self._problems = reader.problems
        self._validator = _validator(reader.all_of([of_objects, reader.node(schema, "", ())], ""), "")

    def problems(self, value: Any) -> list[str]:
        """Where a value is not of this shape and why, a few of them; none: it is. Nothing is coerced.

        The messages name the schema's own fields and what is expected there, never what was found.
        """
        try:
            storable_tree(value)
        except ValueError as error:
            return [str(error)]
        return self._problems(self._validator, value)[:_SHOWN_PROBLEMS]


class _Reader:
    """Reads one schema."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._parts = 0
        self._names: set[str] = set()

    def node(self, schema: Any, path: str, references: Sequence[str]) -> CoreSchema:
        """One schema within the whole, reached through these references."""
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise SchemaRefused(
                path, f"the schema has more than {MOST_PARTS} parts once its references are written out"
            )
        if schema is True:
            return core_schema.any_schema()
        if not isinstance(schema, Mapping):
            raise SchemaRefused(path, "must be a schema: an object, or true")
        if unknown := sorted(schema.keys() - _KNOWN):
            raise SchemaRefused(_within(path, unknown[0]), "is not a keyword that exports understand")
        parts = []
        if "$ref" in schema:
            parts.append(self._referred(schema["$ref"], path, references))
        for keyword in ("enum", "const"):
            if keyword in schema:
                parts.append(_literal(schema[keyword] if keyword == "enum" else [schema[keyword]], path, keyword))
        for keyword, combine in (("allOf", self.all_of), ("anyOf", _any), ("oneOf", self._one_of)):
            if keyword in schema:
                given = _list(schema[keyword], _within(path, keyword))
                branches = [self.node(s, f"{_within(path, keyword)}.{n}", references) for n, s in enumerate(given)]
                parts.append(combine(branches, path))
        if types := _types(schema, path):
            parts.append(_any([self._typed(kind, schema, path, references) for kind in types], path))
        return self.all_of(parts, path)

    def all_of(self, parts: list[CoreSchema], path: str) -> CoreSchema:
        """What all of these let through: each of them sees the value itself, not what another has made of it."""
        if not parts:
            return core_schema.any_schema()
        if len(parts) == 1:
            return parts[0]
        validators = [_validator(part, path) for part in parts]

        def check(value: Any) -> Any:
            for validator in validators:
                if found := self.problems(validator, value):
                    raise PydanticCustomError("all_of", "{found}", {"found": found[0]})
            return value

        return core_schema.no_info_plain_validator_function(check)

    def _one_of(self, branches: list[CoreSchema], path: str) -> CoreSchema:
        validators = [_validator(branch, path) for branch in branches]

        def check(value: Any) -> Any:
            if sum(not self.problems(validator, value) for validator in validators) != 1:
                raise PydanticCustomError("one_of", "Input should match exactly one of the alternatives")
            return value

        return core_schema.no_info_plain_validator_function(check)

    def problems(self, validator: SchemaValidator, value: Any) -> list[str]:
        """What a validator finds wrong, by place: a name that is not the schema's own is a star."""
        try:
            validator.validate_python(value)
        except ValidationError as error:
            found = error.errors(include_input=False, include_context=False, include_url=False)
            places = (
                ".".join(str(part) if isinstance(part, int) or part in self._names else "*" for part in one["loc"])
                for one in found
            )
            said = (": ".join(filter(None, (place, one["msg"]))) for place, one in zip(places, found, strict=True))
            return [problem[:_LONGEST_PROBLEM] for problem in said]
        return []

    def _referred(self, reference: Any, path: str, references: Sequence[str]) -> CoreSchema:
        place = _within(path, "$ref")
        for home in ("$defs", "definitions"):
            definitions, name = self._root.get(home), str(reference).removeprefix(f"#/{home}/")
            if name != reference and isinstance(definitions, Mapping) and name in definitions:
                if name in references:
                    raise SchemaRefused(place, f"{name} refers to itself; an export's schema must not")
                return self.node(definitions[name], path, (*references, name))
        raise SchemaRefused(place, "must refer to one of the schema's own $defs")

    def _typed(self, kind: str, schema: Mapping[str, Any], path: str, references: Sequence[str]) -> CoreSchema:
        given = {keyword: schema[keyword] for keyword in _OF_TYPE[kind] if keyword in schema}
        match kind:
            case "object":
                return self._object(given, path, references)
            case "array":
                bounds = {"min_length": given.get("minItems"), "max_length": given.get("maxItems")}
                _validator(core_schema.list_schema(**bounds), path)
                items = self.node(given.get("items", True), _within(path, "items"), references)
                array = core_schema.list_schema(items, strict=True, **bounds)
                if not given.get("uniqueItems"):
                    return array
                return core_schema.no_info_after_validator_function(_distinct, array)
            case "string":
                text = core_schema.str_schema(
                    min_length=given.get("minLength"),
                    max_length=given.get("maxLength"),
                    pattern=given.get("pattern"),
                    strict=True,
                )
                _validator(text, path)
                return text
            case "boolean":
                return core_schema.bool_schema(strict=True)
            case "null":
                return core_schema.none_schema()
        number = core_schema.int_schema if kind == "integer" else core_schema.float_schema
        if given.get("multipleOf", 1) == 0:
            raise SchemaRefused(_within(path, "multipleOf"), "must be more than 0")
        limits = {own: given[keyword] for keyword, own in _BOUNDS.items() if keyword in given}
        amount = number(strict=True, multiple_of=given.get("multipleOf"), **limits)
        _validator(amount, path)
        return amount

    def _object(self, given: Mapping[str, Any], path: str, references: Sequence[str]) -> CoreSchema:
        properties = given.get("properties", {})
        if not isinstance(properties, Mapping):
            raise SchemaRefused(_within(path, "properties"), "must be an object of schemas")
        required = _list(given.get("required", []), _within(path, "required"), empty=True)
        if not all(isinstance(name, str) for name in required):
            raise SchemaRefused(_within(path, "required"), "must be a list of names")
        self._names |= properties.keys() | set(required)
        fields = {
            name: core_schema.typed_dict_field(
                self.node(schema, f"{_within(path, 'properties')}.{name}", references), required=name in required
            )
            for name, schema in properties.items()
        }
        others = given.get("additionalProperties", True)
        if others is False:
            if impossible := [name for name in required if name not in properties]:
                raise SchemaRefused(
                    _within(path, "required"),
                    f"{impossible[0]} is not in properties, and additionalProperties is false",
                )
            return core_schema.typed_dict_schema(fields, strict=True, extra_behavior="forbid")
        extras = self.node(others, _within(path, "additionalProperties"), references)
        fields |= {name: core_schema.typed_dict_field(extras) for name in required if name not in properties}
        return core_schema.typed_dict_schema(fields, strict=True, extra_behavior="allow", extras_schema=extras)


def _types(schema: Mapping[str, Any], path: str) -> list[str]:
    """The types that a schema names, or that its keywords are for; none: any."""
    given = schema.get("type")
    if given is None:
        return next(([kind] for kind, keywords in _OF_TYPE.items() if keywords & schema.keys()), [])
    types = [given] if isinstance(given, str) else _list(given, _within(path, "type"))
    for kind in types:
        if not isinstance(kind, str) or kind not in _OF_TYPE:
            raise SchemaRefused(_within(path, "type"), f"must be of {', '.join(_OF_TYPE)}")
    return types


def _literal(values: Any, path: str, keyword: str) -> CoreSchema:
    expected = dict.fromkeys(_written(value) for value in _list(values, _within(path, keyword)))
    said = b", ".join(expected).decode()[:_LONGEST_PROBLEM]

    def check(value: Any) -> Any:
        if _written(value) not in expected:
            raise PydanticCustomError("one_of_values", "Input should be one of {said}", {"said": said})
        return value

    return core_schema.no_info_plain_validator_function(check)


def _any(branches: list[CoreSchema], path: str) -> CoreSchema:
    return branches[0] if len(branches) == 1 else core_schema.union_schema(list(branches), mode="left_to_right")


def _distinct(items: list[Any]) -> list[Any]:
    if len({_written(item) for item in items}) < len(items):
        raise PydanticCustomError("unique_items", "Input should have no two equal items")
    return items


def _written(value: Any) -> bytes:
    """By what JSON values are equal: 1 is neither true nor "1"."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _validator(schema: CoreSchema, path: str) -> SchemaValidator:
    try:
        return SchemaValidator(schema)
    except SchemaError as error:
        raise SchemaRefused(
            path, "holds a value that its keyword cannot have, or a pattern with look-around"
        ) from error


def _list(value: Any, path: str, *, empty: bool = False) -> list[Any]:
    if not isinstance(value, list) or (not value and not empty):
        raise SchemaRefused(path, "must be a list" + ("" if empty else ", not empty"))
    return value


def _within(path: str, keyword: str) -> str:
    return f"{path}.{keyword}" if path else keyword
