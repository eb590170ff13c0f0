"""Every operation of the service as a description: method, path, body, and how to read the answer. No I/O.

Both clients send these, so that what is sent is written once.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, TypeAdapter, ValidationError
from pydantic_core import to_json

from memsys.errors import Held, UnexpectedAnswer
from memsys.models import (
    AddResults,
    GraphStatus,
    HistoryEntry,
    ImportReport,
    Info,
    Key,
    Memory,
    NewKey,
    Page,
    Policy,
    SearchResults,
    SyncReport,
)
from memsys.paths import id_segment

T = TypeVar("T")
Content = str | Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request. ``repeatable`` means that sending it twice does no more than sending it once."""

    method: str
    path: str
    result: type[T] | TypeAdapter[T] | None
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False
    gone_is_done: bool = False
    """A 404 is success after an attempt that may have been carried out and whose answer was lost."""

    def read(self, body: bytes) -> T:
        """Read a success answer. Raises :class:`UnexpectedAnswer`."""
        if self.result is None:
            return None  # type: ignore[return-value]  # such calls are Call[None]
        try:
            if isinstance(self.result, TypeAdapter):
                return self.result.validate_json(body)
            assert issubclass(self.result, BaseModel)
            return self.result.model_validate_json(body)
        except ValidationError as error:
            raise UnexpectedAnswer(
                f"{self.method} {self.path}: the answer is not as expected: "
                f"{error.errors(include_input=False, include_url=False)[0]}"
            ) from error


@dataclass(frozen=True, slots=True)
class Scope:
    """Narrows a call inside its project. ``None`` means "any"."""

    user_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    run_id: str | None = None

    def given(self) -> dict[str, str]:
        """The ids that are set."""
        ids = {
            "user_id": self.user_id,
            "agent_id": self.agent_id,
            "app_id": self.app_id,
            "run_id": self.run_id,
        }
        return {name: value for name, value in ids.items() if value is not None}


def _carried_out(answer: Any) -> Any:
    """Raises :class:`Held` for the answer to a change that waits for review."""
    match answer:
        case {"results": [{"event": "HELD", "review_id": review_id}]}:
            raise Held(str(review_id))
    return answer


_CHANGED: TypeAdapter[Memory] = TypeAdapter(Annotated[Memory, BeforeValidator(_carried_out)])
_HISTORY = TypeAdapter(list[HistoryEntry])
_KEYS = TypeAdapter(list[Key])


def to_body(**fields: Any) -> bytes:
    """A request's body: the fields that are given."""
    return to_json({name: value for name, value in fields.items() if value is not None})


def _query(**fields: Any) -> dict[str, str]:
    return {n: v.isoformat() if isinstance(v, datetime) else str(v) for n, v in fields.items() if v is not None}


def _memory_path(memory_id: uuid.UUID | str) -> str:
    return f"/memories/{id_segment('memory_id', memory_id)}"


def _key_path(key_id: str) -> str:
    return f"/keys/{id_segment('key_id', key_id)}"


def add(
    content: Content,
    *,
    scope: Scope,
    metadata: Mapping[str, Any] | None = None,
    infer: bool | None = None,
    timestamp: datetime | None = None,
    expires_at: datetime | None = None,
    ttl_seconds: int | None = None,
    idempotency_key: str | None = None,
    accepted_at: datetime | None = None,
) -> Call[AddResults]:
    """Store a text or a conversation. Sent again with the same key, it answers what it did before."""
    body = to_body(
        messages=content,
        metadata=metadata,
        infer=infer,
        timestamp=timestamp,
        expires_at=expires_at,
        ttl_seconds=ttl_seconds,
        **scope.given(),
    )
    headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    if accepted_at is not None:
        headers["X-Memsys-Accepted"] = accepted_at.isoformat()
    return Call("POST", "/memories", AddResults, body=body, headers=headers, repeatable=True)


def search(
    query: str,
    *,
    scope: Scope,
    top_k: int | None = None,
    threshold: float | None = None,
    filters: Mapping[str, Any] | None = None,
    explain: bool | None = None,
    as_of: datetime | None = None,
) -> Call[SearchResults]:
    body = to_body(
        query=query,
        top_k=top_k,
        threshold=threshold,
        filters=filters,
        explain=explain,
        as_of=as_of,
        **scope.given(),
    )
    return Call("POST", "/search", SearchResults, body=body, repeatable=True)


def list_memories(
    *,
    scope: Scope,
    limit: int | None = None,
    cursor: str | None = None,
    filters: Mapping[str, Any] | None = None,
    as_of: datetime | None = None,
) -> Call[Page]:
    written = None if filters is None else to_json(filters).decode()
    query = scope.given() | _query(limit=limit, cursor=cursor, filters=written, as_of=as_of)
    return Call("GET", "/memories", Page, query=query, repeatable=True)


def get(memory_id: uuid.UUID | str, *, as_of: datetime | None = None) -> Call[Memory]:
    return Call("GET", _memory_path(memory_id), Memory, query=_query(as_of=as_of), repeatable=True)


def update(
    memory_id: uuid.UUID | str,
    *,
    text: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    timestamp: datetime | None = None,
    expires_at: datetime | None = None,
    ttl_seconds: int | None = None,
    never_expires: bool = False,
    version: int | None = None,
    idempotency_key: str | None = None,
) -> Call[Memory]:
    """Write the next version. Sent again with the same key, it answers what it did before and writes nothing."""
    fields: dict[str, Any] = {
        name: value
        for name, value in (
            ("text", text),
            ("metadata", metadata),
            ("timestamp", timestamp),
            ("expires_at", expires_at),
            ("ttl_seconds", ttl_seconds),
        )
        if value is not None
    }
    if never_expires:
        if "expires_at" in fields or "ttl_seconds" in fields:
            raise ValueError("update takes either never_expires or an expiry")
        fields["expires_at"] = None
    if not fields:
        raise ValueError("update needs a new text, new metadata, a new time or a new expiry")
    body = to_json(fields | ({} if version is None else {"version": version}))
    headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    return Call("PUT", _memory_path(memory_id), _CHANGED, body=body, headers=headers, repeatable=True)


def delete(memory_id: uuid.UUID | str) -> Call[None]:
    return Call("DELETE", _memory_path(memory_id), None, repeatable=True, gone_is_done=True)


def delete_all(*, scope: Scope) -> Call[None]:
    if not scope.given():
        raise ValueError("delete_all needs at least one of user_id, agent_id, app_id, run_id")
    return Call("DELETE", "/memories", None, query=scope.given(), repeatable=True)


def history(
    memory_id: uuid.UUID | str, *, after: int | None = None, limit: int | None = None
) -> Call[list[HistoryEntry]]:
    query = _query(after=after, limit=limit)
    return Call("GET", f"{_memory_path(memory_id)}/history", _HISTORY, query=query, repeatable=True)


def create_key(
    name: str,
    *,
    projects: Sequence[str],
    default_project: str | None = None,
    rights: Sequence[str] = ("read", "write"),
    scope: Scope,
    expires_at: datetime | None = None,
    requests_per_minute: int | None = None,
) -> Call[NewKey]:
    """Not repeatable: a second attempt would make a second key."""
    body = to_body(
        name=name,
        projects=list(projects),
        default_project=default_project,
        rights=list(rights),
        expires_at=expires_at,
        requests_per_minute=requests_per_minute,
        **scope.given(),
    )
    return Call("POST", "/keys", NewKey, body=body)


def declare_key(
    key_id: str,
    name: str,
    *,
    projects: Sequence[str],
    default_project: str | None = None,
    rights: Sequence[str] = ("read", "write"),
    scope: Scope,
    expires_at: datetime | None = None,
    requests_per_minute: int | None = None,
    secrets: Mapping[str, datetime | None] | None = None,
    subject: str | None = None,
) -> Call[Key]:
    """``secrets``: until when (``None``: no end) each is accepted, by its hash. Says what is to be, so repeatable."""
    body = to_body(
        name=name,
        projects=list(projects),
        default_project=default_project,
        rights=list(rights),
        expires_at=expires_at,
        requests_per_minute=requests_per_minute,
        secrets=[{"sha256": sha256, "expires_at": end} for sha256, end in (secrets or {}).items()],
        subject=subject,
        **scope.given(),
    )
    return Call("PUT", _key_path(key_id), Key, body=body, repeatable=True)


def rotate_key(key_id: str, *, overlap_seconds: int | None = None) -> Call[NewKey]:
    """Not repeatable: a second attempt would replace the secret of the first."""
    return Call("POST", f"{_key_path(key_id)}/rotate", NewKey, body=to_body(overlap_seconds=overlap_seconds))


def list_keys() -> Call[list[Key]]:
    return Call("GET", "/keys", _KEYS, repeatable=True)


def delete_key(key_id: str) -> Call[None]:
    return Call("DELETE", _key_path(key_id), None, repeatable=True, gone_is_done=True)


def policy() -> Call[Policy]:
    return Call("GET", "/policy", Policy, repeatable=True)


def set_policy(
    *,
    quarantine: str | None = None,
    llm_tokens_per_day: int | None = None,
    requests_per_minute: int | None = None,
) -> Call[Policy]:
    body = to_body(
        quarantine=quarantine, llm_tokens_per_day=llm_tokens_per_day, requests_per_minute=requests_per_minute
    )
    return Call("PUT", "/policy", Policy, body=body, repeatable=True)


def sync_graph(memory_id: uuid.UUID | str | None = None) -> Call[SyncReport]:
    query = {} if memory_id is None else {"memory_id": str(memory_id)}
    return Call("POST", "/graph/sync", SyncReport, query=query, repeatable=True)


def graph_status() -> Call[GraphStatus]:
    return Call("GET", "/graph/status", GraphStatus, repeatable=True)


def info() -> Call[Info]:
    return Call("GET", "/info", Info, repeatable=True)


def export(*, heads: bool = False) -> Call[None]:
    """The whole project as JSON Lines; read as a stream."""
    return Call("GET", "/export", None, query={"heads": "true"} if heads else {})


def import_lines() -> Call[ImportReport]:
    """JSON Lines into the project; sent as a stream, so not repeated by itself, but harmless to repeat."""
    return Call("POST", "/import", ImportReport, headers={"Content-Type": "application/x-ndjson"})


def alive() -> Call[None]:
    return Call("GET", "/healthz", None, repeatable=True)


def ready() -> Call[None]:
    return Call("GET", "/readyz", None, repeatable=True)
