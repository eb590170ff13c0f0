"""What the API reads and answers, on the wire. Unknown fields are refused by name."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

MAX_TEXT = 32_000
MAX_MESSAGES = 500
MAX_RESULTS = 1_000


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain the NUL character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("must be valid Unicode, without lone surrogates") from None
    return value


def _no_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


def _storable_tree(value: dict[str, Any]) -> dict[str, Any]:
    """Metadata is stored as jsonb, which has no NUL."""
    pending: list[tuple[Any, int]] = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        if depth > 32:
            raise ValueError("must not be nested deeper than 32 levels")
        if isinstance(item, str):
            _storable(item)
        elif isinstance(item, dict):
            pending.extend((part, depth + 1) for pair in item.items() for part in pair)
        elif isinstance(item, list):
            pending.extend((part, depth + 1) for part in item)
        elif isinstance(item, int) and abs(item) >= 2**63:
            raise ValueError("must not hold integers beyond 64 bits")
        elif isinstance(item, float) and not math.isfinite(item):
            raise ValueError("must not hold NaN or infinite numbers")
    return value


Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_storable), AfterValidator(_no_blank)]
ScopeId = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_storable), AfterValidator(_no_blank)]
Metadata = Annotated[dict[str, Any], AfterValidator(_storable_tree)]


class Body(BaseModel):
    """Base of every request body."""

    model_config = ConfigDict(extra="forbid")


class Scoped(Body):
    """mem0's four ids, all optional."""

    user_id: ScopeId | None = Field(None, description="Whom the memory is about.")
    agent_id: ScopeId | None = Field(None, description="Which agent keeps it.")
    app_id: ScopeId | None = Field(None, description="Which application it belongs to.")
    run_id: ScopeId | None = Field(None, description="Which conversation or session it was said in.")


class Message(Body):
    """One turn of a conversation."""

    role: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_storable)]
    content: Text
    name: ScopeId | None = Field(None, description="Who speaks.")


# Told apart by what was sent, so that an error names the field inside the one that was meant.
Turns = Annotated[
    Annotated[list[Message], Tag("<turns>")] | Annotated[Text, Tag("<text>")],
    Discriminator(lambda value: "<text>" if isinstance(value, str) else "<turns>"),
]


class AddRequest(Scoped):
    """What to remember: `messages` (turns, or one string), or `text`."""

    messages: Turns | None = Field(None, description="Turns of a conversation, or one text.")
    text: Text | None = Field(None, description="One text; the same as `messages` with one string.")
    metadata: Metadata = Field(default_factory=dict, description="Anything to keep with each memory, and filter by.")
    infer: bool = Field(
        True,
        description="Have a language model pick out what is worth keeping: new facts are added, what they contradict "
        "is superseded, what is known already is answered `NONE`. With `false`, or where the server has no model, "
        "every message is stored verbatim, never merged and never dropped.",
    )
    prompt: Text | None = Field(None, description="Instructions to the language model on what to pick out.")
    includes: Text | None = Field(None, description="What the language model is to look for above all.")
    excludes: Text | None = Field(None, description="What the language model is to leave out.")
    timestamp: AwareDatetime | None = Field(
        None, description="When it happened, with an offset; by default the time of the request."
    )
    expires_at: AwareDatetime | None = Field(None, description="When it is to be forgotten.")

    @model_validator(mode="after")
    def _one_source(self) -> AddRequest:
        if (self.messages is None) == (self.text is None):
            raise ValueError("give exactly one of messages and text")
        if isinstance(self.messages, list) and not 1 <= len(self.messages) <= MAX_MESSAGES:
            raise ValueError(f"messages must hold 1 to {MAX_MESSAGES} messages")
        return self

    def turns(self) -> list[Message]:
        """The messages to remember; a system message is an instruction, not a memory."""
        if isinstance(self.messages, list):
            return [m for m in self.messages if m.role != "system"]
        content = self.messages if self.messages is not None else self.text
        assert content is not None  # held by _one_source
        return [Message.model_construct(role="user", content=content, name=None)]


class UpdateRequest(Body):
    """A memory's new text and metadata; what is left out stays."""

    text: Text | None = None
    data: Text | None = Field(None, description="mem0's other name for `text`.")
    metadata: Metadata | None = Field(None, description="Replaces the metadata as a whole.")
    version: int | None = Field(None, ge=1, description="The version this change is made to; another is answered 409.")

    @model_validator(mode="after")
    def _something(self) -> UpdateRequest:
        if self.text is not None and self.data is not None and self.text != self.data:
            raise ValueError("text and data are two names of one thing; give one")
        if self.text is None and self.data is None and self.metadata is None:
            raise ValueError("give text, metadata or both")
        return self


class SearchRequest(Scoped):
    """A question, and where to look."""

    query: Text
    filters: Metadata | None = Field(
        None,
        description="Only memories for which all of these hold: one of the four ids, `created_at`, `updated_at` or a "
        "metadata field, equal to a value or compared by eq, ne, gt, gte, lt, lte, in, nin, contains, icontains; "
        "`*` is any value; AND, OR and NOT take lists of filters.",
    )
    top_k: int = Field(10, ge=1, le=MAX_RESULTS, description="How many results at most.")
    threshold: float | None = Field(None, ge=0, le=1, description="Leave out results that score less.")
    explain: bool = Field(False, description="Whether to say what each score is made of.")
    as_of: AwareDatetime | None = Field(None, description="Search what was known at this moment.")


class NewKeyRequest(Body):
    """A key to make."""

    name: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable)]
    projects: list[str] = Field(min_length=1, max_length=1000)
    default_project: str | None = Field(None, description="Used when a request names none; by default the first.")
    user_id: ScopeId | None = Field(None, description="Grants this user's memories only.")
    agent_id: ScopeId | None = Field(None, description="Grants this agent's memories only.")
    rights: list[Literal["read", "write", "admin"]] = Field(default=["read", "write"], min_length=1)
    expires_at: AwareDatetime | None = None


class MemoryOut(BaseModel):
    """A memory."""

    id: UUID
    memory: str
    hash: str
    metadata: dict[str, Any]
    user_id: str | None
    agent_id: str | None
    app_id: str | None
    run_id: str | None
    project: str
    version: int
    event_time: datetime
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None


class MemoryPage(BaseModel):
    """Memories, newest first. `next_cursor` is null on the last page."""

    results: list[MemoryOut]
    next_cursor: str | None


class Hit(MemoryOut):
    """A memory that answers a query."""

    score: float = Field(description="0 to 1, comparable within one answer.")
    source: list[Literal["vector", "text", "graph"]] = Field(description="What found it.")
    score_parts: dict[str, float] | None = Field(None, description="What the score is made of; with `explain`.")


class SearchResults(BaseModel):
    """What answers a query, best first."""

    results: list[Hit]


class Added(BaseModel):
    """What became of one text."""

    id: UUID
    memory: str
    event: Literal["ADD", "UPDATE", "NONE"] = Field(
        description="ADD: a new memory. UPDATE: a new version that supersedes the one before. NONE: known already."
    )
    project: str
    version: int
    previous_memory: str | None = Field(None, description="With UPDATE: the text that is superseded.")
    inference: Literal["pending", "failed"] | None = Field(
        None,
        description="Stored as it was said. pending: the language model is away, and what it finds later takes this "
        "memory's place; failed: it cannot read this.",
    )


class AddResults(BaseModel):
    """What became of an add, in the order of its messages, or of the facts that were found in them."""

    results: list[Added]


class HistoryItem(BaseModel):
    """One change of a memory."""

    id: str
    memory_id: UUID
    version: int
    event: Literal["ADD", "UPDATE", "DELETE"]
    old_memory: str | None
    new_memory: str | None
    created_at: datetime
    updated_at: datetime
    is_deleted: bool


class Deleted(BaseModel):
    """What a deletion removed."""

    message: str
    deleted: int


class KeyOut(BaseModel):
    """A key, without its secret."""

    id: str
    name: str
    projects: list[str]
    default_project: str
    user_id: str | None
    agent_id: str | None
    rights: list[str]
    created_at: datetime
    expires_at: datetime | None


class NewKey(KeyOut):
    """A key that was just made. `key` is shown this once."""

    key: str


class GraphStatus(BaseModel):
    """How far the graph is behind."""

    provider: Literal["neo4j", "none"]
    available: bool
    pending: int
    parked: int
    lag_seconds: float
    last_error: str | None


class GraphSync(BaseModel):
    """What driving the graph at once did."""

    applied: int
    pending: int
    parked: int
    requeued: int
    last_error: str | None


class GraphDifference(BaseModel):
    """A memory that the graph lacks, holds otherwise, or holds alone."""

    project: str
    memory_id: UUID
    kind: Literal["missing", "stale", "unexpected"]


class GraphDrift(BaseModel):
    """Where PostgreSQL and the graph differ, memory by memory, deliveries under way aside."""

    provider: Literal["neo4j", "none"]
    checked: int
    missing: int
    stale: int
    unexpected: int
    complete: bool
    samples: list[GraphDifference]


class EmbedderInfo(BaseModel):
    """The embedder in use."""

    provider: str
    model: str
    dimensions: int
    precision: str
    index: str


class GraphInfo(BaseModel):
    """The graph in use."""

    provider: Literal["neo4j", "none"]
    available: bool


class LlmInfo(BaseModel):
    """The language model in use."""

    provider: str
    model: str | None
    available: bool = Field(description="Whether it answered when last asked; false without one.")
    retry_after: float | None = Field(description="Seconds for which it is left alone after failures.")
    last_error: str | None
    pending: int = Field(description="Adds, of all projects, that wait for it.")
    parked: int = Field(description="Adds that it could not read; they stay as they were said.")


class Info(BaseModel):
    """What this server is made of."""

    version: str
    embedder: EmbedderInfo
    graph: GraphInfo
    llm: LlmInfo


class FieldProblem(BaseModel):
    """One field that cannot be used."""

    field: str
    message: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldProblem] | None = None


class Health(BaseModel):
    """Alive."""

    status: Literal["ok"]
