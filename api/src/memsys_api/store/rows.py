"""How a memory is written as SQL conditions and read back from rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from psycopg import sql

from memsys_api.model import Memory, Scope

SCOPE_FIELDS = ("user_id", "agent_id", "app_id", "run_id")

# In the order that read() takes them; `m` is memory_versions.
MEMORY_COLUMNS = sql.SQL(
    "m.id, m.project, m.user_id, m.agent_id, m.app_id, m.run_id, m.version, m.text, m.hash, m.metadata, "
    "m.event_time, m.created_at, m.recorded_from, m.expires_at"
)
MEMORY_WIDTH = 14


def read(row: Sequence[Any]) -> Memory:
    """A memory from a row that begins with MEMORY_COLUMNS."""
    return Memory(
        id=row[0],
        scope=Scope(*row[1:6]),
        version=row[6],
        text=row[7],
        hash=row[8],
        metadata=row[9],
        event_time=row[10],
        created_at=row[11],
        updated_at=row[12],
        expires_at=row[13],
    )


@dataclass(frozen=True)
class Condition:
    """A piece of a WHERE clause with its parameters, by name."""

    clause: sql.Composable
    parameters: dict[str, Any]


def scope_condition(scope: Scope, alias: str) -> Condition:
    """The first wall: the project, and whichever ids the scope gives, on a table or alias."""
    given = given_ids(scope)
    return Condition(
        scope_clause(given, alias), {"project": scope.project, **{field: getattr(scope, field) for field in given}}
    )


def given_ids(scope: Scope) -> tuple[str, ...]:
    """Which ids a scope gives beside its project, by name: the shape of every statement that is about it."""
    return tuple(field for field in SCOPE_FIELDS if getattr(scope, field) is not None)


@cache
def scope_clause(given: tuple[str, ...], alias: str) -> sql.Composed:
    """That the project and the given ids of a table or alias are those of the parameters of their names."""
    return sql.SQL(" AND ").join(
        sql.SQL("{}.{} = {}").format(sql.Identifier(alias), sql.Identifier(field), sql.Placeholder(field))
        for field in ("project", *given)
    )


def exact_scope(scope: Scope, alias: str) -> Condition:
    """Only what was stored under exactly these ids: one that the scope leaves open must be absent."""
    table, where = sql.Identifier(alias), scope_condition(scope, alias)
    absent = [
        sql.SQL("{}.{} IS NULL").format(table, sql.Identifier(field))
        for field in SCOPE_FIELDS
        if getattr(scope, field) is None
    ]
    return Condition(sql.SQL(" AND ").join([where.clause, *absent]), where.parameters)


def current(as_of: datetime | None, alias: str = "m") -> Condition:
    """The versions of `m` that hold: now, or as they were recorded at a moment; never expired or deleted ones."""
    when, parameters = (_NOW, {}) if as_of is None else (_THEN, {"as_of": as_of})
    return Condition(when.format(m=sql.Identifier(alias)), parameters)


_NOW = sql.SQL(
    "{m}.recorded_to IS NULL AND {m}.state = 'active' AND ({m}.expires_at IS NULL OR {m}.expires_at > now())"
)
_THEN = sql.SQL(
    "{m}.recorded_from <= %(as_of)s AND ({m}.recorded_to IS NULL OR {m}.recorded_to > %(as_of)s) "
    "AND {m}.state = 'active' AND ({m}.expires_at IS NULL OR {m}.expires_at > %(as_of)s)"
)


UNSUSPECTED = Condition(sql.SQL("NOT m.provenance ? 'quarantine'"), {})
"""The versions of `m` that did not look suspect when they were written."""


def scope_values(scope: Scope) -> dict[str, str | None]:
    """The scope as parameters, absent ids as null."""
    return {
        "project": scope.project,
        "user_id": scope.user_id,
        "agent_id": scope.agent_id,
        "app_id": scope.app_id,
        "run_id": scope.run_id,
    }
