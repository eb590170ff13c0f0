"""Memories on the wire: adding, changing, reading them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from memsys_api.model import Uninferred
from memsys_api.schemas.fields import (
    MAX_MESSAGES,
    WHOLE,
    Body,
    Metadata,
    Moment,
    Scoped,
    ScopeId,
    Seconds,
    Text,
    storable,
)
from memsys_api.schemas.rules import both, given


class Message(Body):
    """One turn of a conversation."""

    role: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(storable)]
    content: Text
    name: ScopeId | None = Field(None, description="Who speaks.")


# Told apart by what was sent, so that an error names the field inside the one that was meant.
Turns = Annotated[
    Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES), Tag("<turns>")]
    | Annotated[Text, Tag("<text>")],
    Discriminator(lambda value: "<text>" if isinstance(value, str) else "<turns>"),
]


_TWICE = both(expires_at="string", ttl_seconds="integer")


class Expiring(Body):
    """When a memory is to be forgotten, as a moment or counted from the request."""

    model_config = ConfigDict(json_schema_extra={"not": _TWICE})

    expires_at: Moment | None = Field(None, description="When it is to be forgotten.")
    ttl_seconds: Seconds | None = Field(None, description="The same, in seconds from now.")

    @model_validator(mode="after")
    def _one_expiry(self) -> Self:
        if self.expires_at is not None and self.ttl_seconds is not None:
            raise ValueError("expires_at and ttl_seconds are two ways to say one thing; give one")
        return self

    def expiry(self) -> datetime | None:
        """When the memory is to be forgotten, if ever."""
        if self.ttl_seconds is not None:
            return datetime.now(UTC) + timedelta(seconds=self.ttl_seconds)
        return self.expires_at

    @property
    def sets_expiry(self) -> bool:
        """Whether the request says anything of an expiry, be it that there is none."""
        return not self.model_fields_set.isdisjoint({"expires_at", "ttl_seconds"})

    def lasting(self, *, exclude: Collection[str] = ()) -> dict[str, Any]:
        """What was given, as JSON that says the same whenever it is read: a time to live is the moment of its end."""
        body = self.model_dump(mode="json", exclude_unset=True, exclude={"ttl_seconds", *exclude})
        if self.sets_expiry:
            expiry = self.expiry()
            body["expires_at"] = expiry and expiry.isoformat()
        return body


class AddRequest(Scoped, Expiring):
    """What to remember: `messages` (turns, or one string), or `text`."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": _TWICE,
            "anyOf": [given("messages", "array", "string", none=["text"]), given("text", "string", none=["messages"])],
        }
    )

    messages: Turns | None = Field(None, description="Turns of a conversation, or one text.")
    text: Text | None = Field(None, description="One text; the same as `messages` with one string.")
    metadata: Metadata = Field(default_factory=dict, description="Anything to keep with each memory, and filter by.")
    infer: bool = Field(
        True,
        strict=True,
        description="Have a language model pick out what is worth keeping: new facts are added, what they contradict "
        "is superseded, what is known already is answered `NONE`. With `false`, or where the server has no model, "
        "every message is stored verbatim, never merged and never dropped.",
    )
    prompt: Text | None = Field(None, description="Instructions to the language model on what to pick out.")
    includes: Text | None = Field(None, description="What the language model is to look for above all.")
    excludes: Text | None = Field(None, description="What the language model is to leave out.")
    timestamp: Moment | None = Field(
        None, description="When it happened, with an offset; by default the time of the request."
    )
    wait: bool = Field(
        True,
        description="With `false`, as with the header `Prefer: respond-async`, the answer is 202 as soon as the "
        "messages are stored as they were said, with an event to follow at `/events/{event_id}`; what the language "
        "model finds takes their place later.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> AddRequest:
        if (self.messages is None) == (self.text is None):
            raise ValueError("give exactly one of messages and text")
        return self

    def turns(self) -> list[Message]:
        """The messages to remember; a system message is an instruction, not a memory."""
        if isinstance(self.messages, list):
            return [m for m in self.messages if m.role != "system"]
        content = self.messages if self.messages is not None else self.text
        assert content is not None  # held by _one_source
        return [Message.model_construct(role="user", content=content, name=None)]


class UpdateRequest(Expiring):
    """A memory's new text, metadata, time and expiry; what is left out stays. `null` as expiry clears it."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": {"anyOf": [_TWICE, both(text="string", data="string")]},
            "anyOf": [
                given("text", "string"),
                given("data", "string"),
                given("metadata", "object"),
                given("timestamp", "string"),
                {"required": ["expires_at"]},
                {"required": ["ttl_seconds"]},
            ],
        }
    )

    text: Text | None = None
    data: Text | None = Field(None, description="mem0's other name for `text`.")
    metadata: Metadata | None = Field(None, description="Replaces the metadata as a whole.")
    timestamp: Moment | None = Field(None, description="When it happened, with an offset.")
    version: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1), WHOLE] | None = Field(
        None,
        description="The version this change is made to; another is answered 409.",
    )

    @model_validator(mode="after")
    def _something(self) -> UpdateRequest:
        if self.text is not None and self.data is not None and self.text != self.data:
            raise ValueError("text and data are two names of one thing; give one")
        given = (self.text, self.data, self.metadata, self.timestamp)
        if not self.sets_expiry and all(value is None for value in given):
            raise ValueError("give at least one of text, metadata, timestamp, expires_at and ttl_seconds")
        return self


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


class MemoryDetail(MemoryOut):
    """A memory, and where it comes from."""

    provenance: dict[str, Any] = Field(
        description="Who wrote this version (`key`: the key's public id), whether as it was said (`verbatim`) or by "
        "inference, from which messages (`sources`: SHA-256 of their texts), and what it looked like (`quarantine`)."
    )


class MemoryPage(BaseModel):
    """Memories, newest first. `next_cursor` is null on the last page."""

    results: list[MemoryOut]
    next_cursor: str | None


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
    inference: Uninferred | None = Field(
        None,
        description="Stored as it was said. pending: the language model is away, and what it finds later takes this "
        "memory's place; over-budget: the same, because the project has used its tokens for today; failed: the model "
        "cannot read this.",
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
