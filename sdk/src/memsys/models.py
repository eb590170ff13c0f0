"""The wire: what the service answers, as typed values. Unknown fields are ignored.

So old clients keep working with a newer service.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

Source = Literal["vector", "text", "graph"]
Right = Literal["read", "write", "admin"]


class Wire(BaseModel):
    """Base of all answers: immutable."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Memory(Wire):
    """One memory at its newest version. ``event_time`` is when it happened, not when it was stored."""

    id: UUID
    memory: str
    hash: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    user_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    run_id: str | None = None
    project: str | None = None
    version: int = 1
    event_time: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None


class Found(Memory):
    """A memory that answers a search. ``score`` orders the results; ``source`` says what found it."""

    score: float
    source: tuple[str, ...] = ()
    score_parts: dict[str, float] | None = None


class SearchResults(Wire):
    """The answer to a search, best first."""

    results: tuple[Found, ...]


class Page(Wire):
    """One page of memories; ``next_cursor`` is ``None`` on the last one."""

    results: tuple[Memory, ...]
    next_cursor: str | None = None


class Added(Wire):
    """What became of one message. ``NONE``: it was known already, and ``id`` is the memory that holds it."""

    id: UUID
    memory: str
    event: Literal["ADD", "UPDATE", "DELETE", "NONE"]
    project: str | None = None
    version: int = 1
    previous_memory: str | None = None
    """With UPDATE: the text that was superseded."""
    inference: Literal["pending", "over-budget", "failed"] | None = None
    """Stored as it was said: the language model is away, or the project has used its tokens for today, and comes back
    to it; or it cannot read it."""


class Finding(Wire):
    """What a place of a write looks like: a kind such as ``secret``, a field, and characters of it."""

    kind: str
    field: str
    start: int = 0
    end: int = 0


class HeldWrite(Wire):
    """A write that was not carried out: it waits for review under ``review_id``."""

    review_id: UUID
    memory_id: UUID | None = None
    """Whose update it is; ``None``: an add."""
    project: str | None = None
    findings: tuple[Finding, ...] = ()


class AddResults(Wire):
    """The answer to an add, one entry per memory; nothing is stored of what is ``held``."""

    results: tuple[Added, ...]
    held: tuple[HeldWrite, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _apart(cls, answer: Any) -> Any:
        """On the wire both stand in one list, told apart by their event."""
        if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
            return answer
        held = [one for one in answer["results"] if isinstance(one, dict) and one.get("event") == "HELD"]
        return answer | {"results": [one for one in answer["results"] if one not in held], "held": held}


class HistoryEntry(Wire):
    """One change of a memory, as the service recorded it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    event: str | None = None
    version: int | None = None
    old_memory: str | None = None
    new_memory: str | None = None
    created_at: datetime | None = None


class RefusedLine(Wire):
    """A line of an import that was not taken, and why."""

    line: int
    field: str | None = None
    message: str
    review_id: UUID | None = None
    """Where it is held for review."""


class ImportReport(Wire):
    """What an import did, in versions. ``complete``: the file had its last line and everything before it."""

    imported: int
    unchanged: int
    feedback: int = 0
    """Judgements that were written, of versions that are new there or not."""
    erased: int = 0
    """Lines that say what was erased there, and were left out."""
    held: int = 0
    """Suspect lines that wait for review."""
    failed: int
    complete: bool
    errors: tuple[RefusedLine, ...] = ()


class Key(Wire):
    """A key without its secret."""

    id: str
    name: str | None = None
    projects: tuple[str, ...] = ()
    default_project: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    run_id: str | None = None
    rights: tuple[str, ...] = ()
    created_at: datetime | None = None
    expires_at: datetime | None = None
    requests_per_minute: int | None = None
    subject: str | None = None
    """The Kubernetes ServiceAccount whose tokens stand for the key."""


class NewKey(Key):
    """A key just made. ``key`` is the secret: it is shown once and cannot be read again."""

    key: str = Field(repr=False)


class Limits(Wire):
    """How a project's writes are treated, and its limits. ``None``: the server's default, or no limit."""

    quarantine: str | None = None
    llm_tokens_per_day: int | None = None
    requests_per_minute: int | None = None


class Policy(Wire):
    """A project's policy: what it sets itself, and what holds with the server's defaults."""

    project: str
    policy: Limits
    in_force: Limits
    llm_tokens_today: int = 0
    updated_at: datetime | None = None
    updated_by: str | None = None


class GraphStatus(Wire):
    """How far the graph is behind the memories. ``lag_seconds`` is the age of the oldest record still due."""

    provider: str | None = None
    available: bool = False
    pending: int = 0
    parked: int = 0
    lag_seconds: float | None = None
    last_error: str | None = None


class SyncReport(Wire):
    """What a synchronisation did."""

    model_config = ConfigDict(frozen=True, extra="allow")

    applied: int = 0
    pending: int = 0
    parked: int = 0


class Info(Wire):
    """What the service runs on."""

    model_config = ConfigDict(frozen=True, extra="allow")

    version: str
    embedder: dict[str, Any] = Field(default_factory=dict)
    graph: dict[str, Any] = Field(default_factory=dict)
    llm: dict[str, Any] = Field(default_factory=dict)
