"""Filters as SQL conditions on `m` (memory_versions). Pure: from an expression to a clause and its parameters.

A clause is true exactly where its expression holds. Where a comparison does not apply it is null or false, which
AND, OR and WHERE treat alike; only a negation tells them apart, and it asks whether its part IS NOT TRUE.
"""

from __future__ import annotations

from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from memsys_api.filters import AllOf, AnyOf, Comparison, Expression, Not
from memsys_api.store.rows import Condition

_COLUMNS = {
    "user_id": sql.SQL("m.user_id"),
    "agent_id": sql.SQL("m.agent_id"),
    "app_id": sql.SQL("m.app_id"),
    "run_id": sql.SQL("m.run_id"),
    "created_at": sql.SQL("m.created_at"),
    "updated_at": sql.SQL("m.recorded_from"),
    "id": sql.SQL("m.id"),
    "feedback": sql.SQL("(SELECT f.verdict FROM feedback f WHERE f.project = m.project AND f.memory_id = m.id)"),
}
_SYMBOLS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def conditions(expression: Expression | None) -> list[Condition]:
    """What a WHERE clause must add for a filter: nothing without one."""
    if expression is None:
        return []
    compiler = _Compiler()
    return [Condition(compiler.clause(expression), compiler.parameters)]


class _Compiler:
    """Writes clauses and names their parameters."""

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}

    def clause(self, expression: Expression) -> sql.Composable:
        match expression:
            case AllOf(parts):
                return self._joined(" AND ", [self.clause(part) for part in parts])
            case AnyOf(parts):
                return self._joined(" OR ", [self.clause(part) for part in parts])
            case Not(part):
                return sql.SQL("({}) IS NOT TRUE").format(self.clause(part))
            case Comparison(place="metadata"):
                return self._metadata(expression)
            case Comparison():
                return self._column(expression)

    def _joined(self, word: str, clauses: list[sql.Composable]) -> sql.Composable:
        return sql.SQL("({})").format(sql.SQL(word).join(clauses))

    def _value(self, value: Any) -> sql.Composable:
        name = f"filter_{len(self.parameters)}"
        self.parameters[name] = value
        return sql.Placeholder(name)

    def _column(self, comparison: Comparison) -> sql.Composable:
        column, value = _COLUMNS[comparison.field], comparison.value
        match comparison.operator:
            case "exists":
                return sql.SQL("{} IS NOT NULL").format(column)
            case "in":
                assert isinstance(value, tuple)
                kind = sql.SQL("uuid[]" if comparison.field == "id" else "text[]")
                return sql.SQL("{} = ANY ({}::{})").format(column, self._value(list(value)), kind)
            case "contains":
                return sql.SQL("strpos({}, {}::text) > 0").format(column, self._value(value))
            case "icontains":
                return sql.SQL("strpos(lower({}), lower({}::text)) > 0").format(column, self._value(value))
            case operator:
                kind = sql.SQL("timestamptz" if comparison.place == "time" else "text")
                symbol = sql.SQL(_SYMBOLS[operator])
                return sql.SQL("{} {} {}::{}").format(column, symbol, self._value(value), kind)

    def _metadata(self, comparison: Comparison) -> sql.Composable:
        field, value = comparison.field, comparison.value
        match comparison.operator:
            case "eq":
                return self._holds({field: value})
            case "in":
                assert isinstance(value, tuple)
                return self._joined(" OR ", [self._holds({field: one}) for one in value])
            case "exists":
                return sql.SQL("jsonb_typeof(m.metadata -> {}::text) <> 'null'").format(self._value(field))
            case "contains":
                element = self._holds({field: [value]})
                if not isinstance(value, str):
                    return element
                return self._joined(" OR ", [element, self._text(field, "strpos({}, {}::text) > 0", value)])
            case "icontains":
                return self._text(field, "strpos(lower({}), lower({}::text)) > 0", value)
            case operator if isinstance(value, str):
                return self._text(field, f'{{}} COLLATE "C" {_SYMBOLS[operator]} {{}}::text', value)
            case operator:
                # As jsonb, whose numbers compare exactly and need no cast that could fail.
                name, symbol = self._value(field), sql.SQL(_SYMBOLS[operator])
                return sql.SQL(
                    "(jsonb_typeof(m.metadata -> {0}::text) = 'number' AND m.metadata -> {0}::text {1} {2})"
                ).format(name, symbol, self._value(Jsonb(value)))

    def _holds(self, part: dict[str, Any]) -> sql.Composable:
        """Containment, which the index on metadata answers."""
        return sql.SQL("m.metadata @> {}").format(self._value(Jsonb(part)))

    def _text(self, field: str, template: str, value: Any) -> sql.Composable:
        """A comparison of a field that is a string."""
        name = self._value(field)
        compared = sql.SQL(template).format(sql.SQL("(m.metadata ->> {}::text)").format(name), self._value(value))
        return sql.SQL("(jsonb_typeof(m.metadata -> {}::text) = 'string' AND {})").format(name, compared)
