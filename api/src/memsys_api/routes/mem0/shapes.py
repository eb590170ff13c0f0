"""What mem0's clients expect to be answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel
from starlette.datastructures import URL

from memsys_api.model import Memory
from memsys_api.routes.mem0 import options
from memsys_api.schemas.quarantine import HeldResults
from memsys_api.store.reads import HistoryEntry


class Mem0Ping(BaseModel):
    """Whose key it is."""

    status: Literal["ok"]
    org_id: str
    project_id: str
    user_email: str | None


class Mem0Memory(BaseModel):
    """A memory. There are no categories here, so the list is empty."""

    id: UUID
    memory: str
    hash: str
    metadata: dict[str, Any]
    categories: list[str]
    user_id: str | None
    agent_id: str | None
    app_id: str | None
    run_id: str | None
    created_at: datetime
    updated_at: datetime
    expiration_date: str | None
    version: int


class Mem0Page(BaseModel):
    """One page; `next` and `previous` are where the pages beside it are."""

    count: int
    next: str | None
    previous: str | None
    results: list[Mem0Memory]


class Mem0Hits(BaseModel):
    """What answers a query, best first; each result has the fields that were asked for."""

    results: list[dict[str, Any]]


class Mem0Changed(BaseModel):
    """What a batch did."""

    message: str


class Mem0PartlyHeld(HeldResults, Mem0Changed):
    """What a batch did, and what of it waits for review instead."""


class Mem0Change(BaseModel):
    """One change of a memory. The messages it came from are not kept, so `input` is empty."""

    id: str
    memory_id: UUID
    input: list[Any]
    old_memory: str | None
    new_memory: str | None
    user_id: str | None
    categories: list[str]
    event: Literal["ADD", "UPDATE", "DELETE"]
    created_at: datetime
    updated_at: datetime


class Mem0Entity(BaseModel):
    """A user, agent, app or run, and how much is remembered of it."""

    id: str
    name: str
    type: Literal["user", "agent", "app", "run"]
    owner: str
    total_memories: int
    created_at: datetime
    updated_at: datetime


class Mem0EntityPage(BaseModel):
    """One page of entities."""

    count: int
    next: str | None
    previous: str | None
    results: list[Mem0Entity]


def memory(one: Memory) -> dict[str, Any]:
    """As Mem0Memory."""
    scope = one.scope
    return {
        "id": one.id,
        "memory": one.text,
        "hash": one.hash,
        "metadata": one.metadata,
        "categories": [],
        "user_id": scope.user_id,
        "agent_id": scope.agent_id,
        "app_id": scope.app_id,
        "run_id": scope.run_id,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
        "expiration_date": options.last_day(one.expires_at),
        "version": one.version,
    }


def change(entry: HistoryEntry) -> dict[str, Any]:
    """As Mem0Change."""
    return {
        "id": f"{entry.memory_id}:{entry.version}",
        "memory_id": entry.memory_id,
        "input": [],
        "old_memory": entry.old_text,
        "new_memory": entry.new_text,
        "user_id": entry.user_id,
        "categories": [],
        "event": entry.event,
        "created_at": entry.created_at,
        "updated_at": entry.recorded_from,
    }


def page(url: URL, query: options.PageQuery, count: int, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """As Mem0Page or Mem0EntityPage."""
    last = max(1, -(-count // query.page_size))

    def beside(number: int) -> str | None:
        return str(url.include_query_params(page=number, page_size=query.page_size)) if 1 <= number <= last else None

    return {
        "count": count,
        "next": beside(query.page + 1),
        "previous": beside(min(query.page - 1, last)),
        "results": results,
    }
