"""A caller's JSON Schema against what a model answers: the same verdict as the reference validator's, or a refusal."""

from __future__ import annotations

import enum
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field

from memsys_api.shaping.schema import MOST_PARTS, SchemaRefused, Shape


class _Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class _Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)]


class _Dog(BaseModel):
    kind: Literal["dog"]
    weight: float


class _Profile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=2, pattern="^[A-Z]")]
    born: date | None = None
    level: _Level
    tags: set[str]
    pets: list[Annotated[_Cat | _Dog, Field(discriminator="kind")]]
    counts: dict[str, int]


PROFILE = _Profile.model_json_schema()
GOOD: dict[str, Any] = {
    "name": "Ana", "level": "low", "tags": ["a", "b"], "pets": [{"kind": "dog", "weight": 3}], "counts": {"x": 1},
}  # fmt: skip


def test_what_pydantic_writes_is_understood_whole() -> None:
    assert Shape(PROFILE).problems(GOOD) == []


@pytest.mark.parametrize(("field", "value"), [
    ("name", "ana"), ("name", "A"), ("name", None), ("born", 3), ("level", "middle"), ("tags", ["a", "a"]),
    ("pets", [{"kind": "cow"}]), ("pets", [{"kind": "cat", "lives": 10}]), ("pets", {}), ("counts", {"x": True}),
    ("counts", {"x": "1"}),
])  # fmt: skip
def test_what_is_wrong_is_named_by_its_field(field: str, value: Any) -> None:
    answer = GOOD | {field: value}
    problems = Shape(PROFILE).problems(answer)
    assert problems
    assert all(problem.startswith(field) for problem in problems)
    assert not Draft202012Validator(PROFILE).is_valid(answer)


def test_no_word_of_the_answer_shows_in_what_is_said_of_it() -> None:
    for secret in ({"secret": 1}, {"counts": {"secret": "secret"}}, {"name": "secret"}, {"level": "secret"}):
        said = str(Shape(PROFILE).problems(GOOD | secret))
        assert said != "[]"
        assert "secret" not in said


@pytest.mark.parametrize(("schema", "path"), [
    ({"type": "array"}, "type"),
    ({"properties": {"a": {"not": {}}}}, "properties.a.not"),
    ({"properties": {"a": {"if": {}}}}, "properties.a.if"),
    ({"properties": {"a": {"pattern": "(?=a)"}}}, "properties.a"),
    ({"properties": {"a": {"type": "string", "minLength": "x"}}}, "properties.a"),
    ({"properties": {"a": {"multipleOf": 0}}}, "properties.a.multipleOf"),
    ({"properties": {"a": {"type": "sting"}}}, "properties.a.type"),
    ({"properties": {"a": {"type": [{}]}}}, "properties.a.type"),
    ({"properties": {"a": {"$ref": "https://elsewhere.example/x"}}}, "properties.a.$ref"),
    ({"properties": {"a": {"enum": []}}}, "properties.a.enum"),
    ({"properties": []}, "properties"),
    ({"required": [1]}, "required"),
    ({"required": ["a"], "additionalProperties": False}, "required"),
    ({"$defs": ["A"], "$ref": "#/$defs/A"}, "$ref"),
    ({"$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/A"}}}}, "$ref": "#/$defs/A"}, "properties.a.$ref"),
])  # fmt: skip
def test_a_schema_that_is_not_understood_is_refused_by_where_it_is_not(schema: dict[str, Any], path: str) -> None:
    with pytest.raises(SchemaRefused) as refused:
        Shape(schema)
    assert refused.value.path == path


def test_references_that_multiply_are_refused_within_a_bound() -> None:
    doubling = {f"D{n}": {"properties": {"x": {"anyOf": [{"$ref": f"#/$defs/D{n + 1}"}] * 2}}} for n in range(40)}
    with pytest.raises(SchemaRefused, match=str(MOST_PARTS)):
        Shape({"$defs": doubling | {"D40": {}}, "$ref": "#/$defs/D0"})


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "ab"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)


def _allowed(schema: dict[str, Any]) -> bool:
    """Whether everything that is required is declared."""
    return set(schema["required"]) <= schema["properties"].keys()


_SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {}, {"type": "null"}, {"type": "boolean"}, {"type": "string", "minLength": 1}, {"type": "string"},
            {"type": "integer", "minimum": 0}, {"type": "number", "exclusiveMaximum": 2}, {"const": 1},
            {"enum": ["a", True, None, [1]]}, {"type": ["integer", "null"]}, {"type": "integer", "multipleOf": 2},
        ]
    ),
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("array"), "items": inner, "maxItems": st.integers(1, 2)})
        | st.fixed_dictionaries({"type": st.just("array"), "items": inner, "uniqueItems": st.just(True)})
        | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)})
        | st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=2)})
        | st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
                "required": st.lists(st.sampled_from("xyz"), unique=True, max_size=2),
                "additionalProperties": st.sampled_from([True, False]) | inner,
            }
        ).filter(lambda schema: schema["additionalProperties"] is not False or _allowed(schema))
    ),
    max_leaves=6,
)  # fmt: skip


@given(schema=_SCHEMAS, value=_VALUES)
@settings(max_examples=500, deadline=None)
def test_its_verdict_is_the_reference_validators(schema: dict[str, Any], value: Any) -> None:
    whole = {"type": "object", "properties": {"it": schema}, "required": ["it"]}
    assert (Shape(whole).problems({"it": value}) == []) == Draft202012Validator(whole).is_valid({"it": value})
