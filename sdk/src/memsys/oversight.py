"""Who did what, what is forgotten for good, and what waits for review: models and operations. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from memsys.models import Finding, Wire
from memsys.operations import Call, Scope, to_body
from memsys.paths import id_segment

ReviewState = Literal["held", "released", "rejected"]


class AuditEntry(Wire):
    """One act: who did what to which. Never a memory's text."""

    id: int
    at: datetime
    actor: str
    actor_name: str | None = None
    action: str
    target: str | None = None
    request_id: str | None = None
    detail: dict[str, Any] = Field(default_factory=dict)


class AuditPage(Wire):
    """Acts, newest first."""

    results: tuple[AuditEntry, ...]
    next_cursor: str | None = None


class Remainder(Wire):
    """Something that no query reaches any more, and the event that removes it."""

    where: str
    what: str
    event: str
    until: datetime | None = None
    """At the latest; ``None``: no setting of the service tells."""


class Receipt(Wire):
    """What was removed, what was counted afterwards (by store and table), and what physically remains until when."""

    removed: dict[str, dict[str, int]]
    verified: dict[str, dict[str, int]]
    remains: tuple[Remainder, ...]


class Erasure(Wire):
    """An erasure, under way or done; then it has its receipt."""

    id: uuid.UUID
    project: str
    scope: dict[str, Any]
    state: Literal["running", "done"]
    step: str
    waits_for: str | None = None
    requested_by: str
    requested_at: datetime
    recorded_before: datetime
    """What was recorded later is new and stays."""
    verified_at: datetime | None = None
    finished_at: datetime | None = None
    receipt: Receipt | None = None


class ErasurePage(Wire):
    """Erasures, newest first."""

    results: tuple[Erasure, ...]
    next_cursor: str | None = None


class Replayed(Wire):
    """How many erasures of a ledger are carried out once more."""

    replayed: int


class Review(Wire):
    """A write under review, or what was decided on it. Until then ``request`` is what was to be written, and ``facts``
    what a language model made of it, where that is suspect."""

    id: uuid.UUID
    project: str
    user_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    run_id: str | None = None
    kind: Literal["add", "update", "import"] = "add"
    memory_id: uuid.UUID | None = None
    """Whose version it is to be; ``None``: of memories that are new."""
    state: ReviewState
    findings: tuple[Finding, ...] = ()
    request: dict[str, Any] | None = Field(None, repr=False)
    facts: tuple[str, ...] | None = Field(None, repr=False)
    source_ids: tuple[uuid.UUID, ...] = ()
    """Its messages, where they had been stored before."""
    actor: str
    held_at: datetime
    decided_at: datetime | None = None
    decided_by: str | None = None
    memory_ids: tuple[uuid.UUID, ...] = ()
    """What came of a release."""


class ReviewPage(Wire):
    """Writes under review, newest first."""

    results: tuple[Review, ...]
    next_cursor: str | None = None


def audit(**question: str | int | datetime | None) -> Call[AuditPage]:
    return Call("GET", "/audit", AuditPage, query=_query(**question), repeatable=True)


def erase(
    *, scope: Scope, memory_ids: Sequence[uuid.UUID | str] | None = None, everything: bool = False
) -> Call[Erasure]:
    """Not repeatable: a second attempt would reach what was written after the first."""
    if not everything and memory_ids is None and not scope.given():
        raise ValueError("erase needs at least one of user_id, agent_id, app_id, run_id, memory_ids, or everything")
    ids = None if memory_ids is None else [str(one) for one in memory_ids]
    body = to_body(memory_ids=ids, everything=everything or None, **scope.given())
    return Call("POST", "/erasures", Erasure, body=body)


def erasures(*, limit: int | None, cursor: str | None) -> Call[ErasurePage]:
    return Call("GET", "/erasures", ErasurePage, query=_query(limit=limit, cursor=cursor), repeatable=True)


def erasure(erasure_id: uuid.UUID | str) -> Call[Erasure]:
    return Call("GET", f"/erasures/{id_segment('erasure_id', erasure_id)}", Erasure, repeatable=True)


def erasure_ledger() -> Call[None]:
    """JSON Lines; read as a stream."""
    return Call("GET", "/erasures/ledger", None)


def replay_erasures() -> Call[Replayed]:
    """A ledger; sent as a stream, so not repeated by itself, but harmless to repeat."""
    return Call("POST", "/erasures/replay", Replayed, headers={"Content-Type": "application/x-ndjson"})


def reviews(*, state: ReviewState, limit: int | None, cursor: str | None) -> Call[ReviewPage]:
    query = _query(state=state, limit=limit, cursor=cursor)
    return Call("GET", "/quarantine", ReviewPage, query=query, repeatable=True)


def decide(review_id: uuid.UUID | str, decision: Literal["release", "reject"]) -> Call[Review]:
    """Repeatable: a write is stored once, however often it is released."""
    return Call("POST", f"/quarantine/{id_segment('review_id', review_id)}/{decision}", Review, repeatable=True)


def _query(**values: str | int | datetime | None) -> dict[str, str]:
    return {name: v.isoformat() if isinstance(v, datetime) else str(v) for name, v in values.items() if v is not None}
