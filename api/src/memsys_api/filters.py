"""What memories may be filtered by. Pure: from a request's `filters` to a typed expression, refusing what it is not.

A filter is an object; all of its entries must hold. An entry is `AND`, `OR` (lists of filters) or `NOT` (a filter, or
a list of which none may hold), or a field with a value it must equal or an object of operators. Fields are the four
ids, `created_at`, `updated_at`, `memory_ids`, `feedback`, and metadata, either at the top or inside `metadata`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args
from uuid import UUID

from memsys_api.model import Verdict
from memsys_api.problems import ProblemError, invalid

SCOPE_FIELDS = ("user_id", "agent_id", "app_id", "run_id")
TIME_FIELDS = ("created_at", "updated_at")
ORDERINGS = ("gt", "gte", "lt", "lte")
OPERATORS = ("eq", "ne", *ORDERINGS, "in", "nin", "contains", "icontains")

_VERDICTS: tuple[str, ...] = get_args(Verdict)
_MAX_PARTS = 200
_MAX_DEPTH = 10
_UNKNOWN_HERE = {
    "categories": "memories have no categories here; filter by metadata",
    "keywords": "is not supported; search with a query, or use contains on a metadata field",
    "userId": "write user_id",
    "agentId": "write agent_id",
    "appId": "write app_id",
    "runId": "write run_id",
    "createdAt": "write created_at",
    "updatedAt": "write updated_at",
}
EARLIEST = int(datetime(2, 1, 1, tzinfo=UTC).timestamp())
LATEST = int(datetime(9998, 12, 31, tzinfo=UTC).timestamp())
"""Between which moments, in Unix seconds, times lie: nearer to the calendar's ends another zone would leave it."""
# What Python reads beside these names no day (2026-W47), or takes an offset for a time (2026-11-21+02:00).
_ISO = re.compile(r"(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4}-W\d{2}-\d|\d{4}W\d{3})(?P<time>[Tt ].+)?")

Scalar = str | int | float | bool | None
Value = Scalar | datetime | tuple[Scalar, ...] | tuple[UUID, ...]
Place = Literal["id", "time", "metadata", "memory"]
Operator = Literal["eq", "gt", "gte", "lt", "lte", "in", "contains", "icontains", "exists"]


@dataclass(frozen=True)
class Comparison:
    """One field against one value; never true where the field is absent or of another kind than the value."""

    place: Place
    field: str
    operator: Operator
    value: Value = None


@dataclass(frozen=True)
class AllOf:
    """Every part holds."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Not:
    """The part does not hold."""

    part: Expression


Expression = Comparison | AllOf | AnyOf | Not


@dataclass(frozen=True)
class Filters:
    """The ids a filter narrows the scope by, and what else must hold (``None``: nothing)."""

    ids: dict[str, str]
    rest: Expression | None = None

    def within(self, ids: Mapping[str, str | None]) -> dict[str, str | None]:
        """These ids together with the filter's own. Raises an ``invalid-request`` problem where they differ."""
        merged = dict(ids)
        for field, value in self.ids.items():
            if merged.get(field) not in (None, value):
                raise invalid(f"filters.{field}", f"contradicts {field}")
            merged[field] = value
        return merged


def parse(raw: Mapping[str, Any] | None) -> Filters:
    """Read a request's filters. Raises an ``invalid-request`` problem that names the field at fault."""
    if not raw:
        return Filters({})
    ids: dict[str, str] = {}
    rest: list[Expression] = []
    for part in _flat(_Reader().conjunction(raw, "filters", 0)):
        if isinstance(part, Comparison) and part.place == "id" and part.operator == "eq" and part.field not in ids:
            ids[part.field] = str(part.value)
        else:
            rest.append(part)
    return Filters(ids, _joined(AllOf, rest) if rest else None)


class _Reader:
    """Reads one request's filters; counts their parts, because each of them costs the database."""

    def __init__(self) -> None:
        self._parts = 0

    def conjunction(self, raw: Any, path: str, depth: int) -> Expression:
        if not isinstance(raw, Mapping) or not raw:
            raise invalid(path, "must be an object with at least one entry")
        if depth > _MAX_DEPTH:
            raise invalid(path, f"must not be nested deeper than {_MAX_DEPTH} levels")
        return _joined(AllOf, [self._entry(field, value, f"{path}.{field}", depth) for field, value in raw.items()])

    def _entry(self, field: str, value: Any, path: str, depth: int) -> Expression:
        if field in ("AND", "OR", "NOT"):
            given = [value] if field == "NOT" and isinstance(value, Mapping) else value
            if not isinstance(given, list) or not given:
                raise invalid(path, "must be a list of filters, not empty")
            parts = [self.conjunction(part, f"{path}.{place}", depth + 1) for place, part in enumerate(given)]
            joined = _joined(AllOf if field == "AND" else AnyOf, parts)
            return Not(joined) if field == "NOT" else joined
        if field in _UNKNOWN_HERE:
            raise invalid(path, _UNKNOWN_HERE[field])
        if field in SCOPE_FIELDS:
            return self._field(value, path, lambda operator, operand: self._id(field, operator, operand, path))
        if field in TIME_FIELDS:
            return self._field(value, path, lambda operator, operand: self._time(field, operator, operand, path))
        if field == "memory_ids":
            return self._memories(value, path)
        if field == "feedback":
            return self._field(value, path, lambda operator, operand: self._feedback(operator, operand, path))
        if field == "metadata" and isinstance(value, Mapping):
            if not value:
                raise invalid(path, "must name at least one field")
            return _joined(AllOf, [self._metadata(name, part, f"{path}.{name}") for name, part in value.items()])
        return self._metadata(field, value, path)

    def _field(self, value: Any, path: str, compare: Callable[[str, Any], Expression]) -> Expression:
        """A plain value that must be equal, ``*`` for any, or an object of operators, all of which must hold."""
        if not isinstance(value, Mapping):
            self._count(path)
            return compare("exists" if value == "*" else "eq", value)
        if not value:
            raise invalid(path, f"must name an operator: {', '.join(OPERATORS)}")
        parts = []
        for operator, operand in value.items():
            if operator not in OPERATORS:
                raise invalid(f"{path}.{operator}", f"is not an operator; use one of {', '.join(OPERATORS)}")
            if operator in ("in", "nin") and (not isinstance(operand, list) or not operand):
                raise invalid(f"{path}.{operator}", "must be a list of values, not empty")
            self._count(path, len(operand) if isinstance(operand, list) else 1)
            positive = {"ne": "eq", "nin": "in"}.get(operator)
            part = compare(positive or operator, operand)
            parts.append(Not(part) if positive else part)
        return _joined(AllOf, parts)

    def _count(self, path: str, parts: int = 1) -> None:
        self._parts += parts
        if self._parts > _MAX_PARTS:
            raise invalid(path, f"is one too many: filters must not hold more than {_MAX_PARTS} values")

    def _id(self, field: str, operator: str, operand: Any, path: str) -> Expression:
        if operator in ORDERINGS:
            raise invalid(f"{path}.{operator}", "ids have no order; use eq, ne, in, nin, contains or icontains")
        for value in operand if isinstance(operand, list) and operator == "in" else [operand]:
            if not isinstance(value, str) or not value:
                raise invalid(path, "must be a non-empty string")
        return Comparison("id", field, _known(operator), _id_value(operator, operand))

    def _time(self, field: str, operator: str, operand: Any, path: str) -> Expression:
        if operator == "exists":
            return Comparison("time", field, "exists")
        if operator in ("contains", "icontains"):
            raise invalid(f"{path}.{operator}", f"is not for times; use eq, ne, in, nin, {', '.join(ORDERINGS)}")
        if operator == "in":
            return _joined(AnyOf, [_moment(field, "eq", value, path) for value in operand])
        return _moment(field, operator, operand, path)

    def _memories(self, value: Any, path: str) -> Expression:
        wanted = value.get("in") if isinstance(value, Mapping) and set(value) == {"in"} else value
        if not isinstance(wanted, list) or not wanted:
            raise invalid(path, "must be a list of ids, or an object with `in` and such a list")
        self._count(path, len(wanted))
        try:
            return Comparison("memory", "id", "in", tuple(UUID(one) for one in wanted))
        except (ValueError, AttributeError, TypeError):
            raise invalid(path, "must hold ids of memories, which are UUIDs") from None

    def _feedback(self, operator: str, operand: Any, path: str) -> Expression:
        if operator not in ("exists", "eq", "in"):
            raise invalid(f"{path}.{operator}", "is not for feedback; use eq, ne, in, nin or * for any")
        for value in operand if operator == "in" else [operand]:
            if operator != "exists" and value not in _VERDICTS:
                raise invalid(path, f"must be one of {', '.join(_VERDICTS)}")
        return Comparison("memory", "feedback", _known(operator), _id_value(operator, operand))

    def _metadata(self, field: str, value: Any, path: str) -> Expression:
        if isinstance(value, list):
            raise invalid(path, "must not be a list; use in, nin or contains")
        return self._field(value, path, lambda operator, operand: _metadata(field, operator, operand, path))


def _metadata(field: str, operator: str, operand: Any, path: str) -> Expression:
    for value in operand if isinstance(operand, list) and operator == "in" else [operand]:
        if not isinstance(value, Scalar):
            raise invalid(path, "must be compared to a string, number, boolean or null")
    number = isinstance(operand, int | float) and not isinstance(operand, bool)
    if operator in ORDERINGS and not (number or isinstance(operand, str)):
        raise invalid(f"{path}.{operator}", "must be a number or a string")
    if operator == "icontains" and not isinstance(operand, str):
        raise invalid(f"{path}.{operator}", "must be a string")
    value = tuple(operand) if operator == "in" else None if operator == "exists" else operand
    return Comparison("metadata", field, _known(operator), value)


def _moment(field: str, operator: str, operand: Any, path: str) -> Expression:
    """A comparison with a time. A date without a time means the whole day, in UTC."""
    begin, end = read_time(operand, path)
    if begin == end:
        return Comparison("time", field, _known(operator), begin)
    if operator == "eq":
        return AllOf((Comparison("time", field, "gte", begin), Comparison("time", field, "lt", end)))
    at: dict[str, tuple[Operator, datetime]] = {
        "gt": ("gte", end),
        "gte": ("gte", begin),
        "lt": ("lt", begin),
        "lte": ("lt", end),
    }
    return Comparison("time", field, *at[operator])


def read_time(value: Any, path: str) -> tuple[datetime, datetime]:
    """When a value begins and ends: a moment, twice the same; or a day. Without an offset it is UTC.

    Takes ISO 8601, days in each of its forms (2026-05-01, 20260501, 2026-W18-5), and Unix seconds. Raises an
    ``invalid-request`` problem for anything else.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            moment = datetime.fromtimestamp(value, UTC)
            if not EARLIEST <= moment.timestamp() <= LATEST:
                raise ValueError
            return moment, moment
        written = _ISO.fullmatch(value)
        if written is None:
            raise ValueError
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if not EARLIEST <= moment.timestamp() <= LATEST:
            raise ValueError
        return moment, moment + timedelta(days=1) if written["time"] is None else moment
    except (ValueError, TypeError, OverflowError, OSError):
        raise _no_time(path) from None


def _no_time(path: str) -> ProblemError:
    return invalid(path, "must be a time: ISO 8601 (2026-05-01, 2026-05-01T12:00:00Z) or Unix seconds")


def _known(operator: str) -> Operator:
    return operator  # type: ignore[return-value]  # held by _field


def _id_value(operator: str, operand: Any) -> Value:
    if operator == "exists":
        return None
    return tuple(operand) if operator == "in" else str(operand)


def _joined(kind: type[AllOf] | type[AnyOf], parts: list[Expression]) -> Expression:
    return parts[0] if len(parts) == 1 else kind(tuple(parts))


def _flat(expression: Expression) -> list[Expression]:
    """The parts that must all hold, at whatever depth they were said."""
    if not isinstance(expression, AllOf):
        return [expression]
    return [one for part in expression.parts for one in _flat(part)]
