"""A project as JSON Lines: what each line of an export says."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, model_validator

from memsys_api.model import Verdict
from memsys_api.schemas.fields import (
    MAX_INDEXED_BYTES,
    MAX_TEXT,
    Body,
    Metadata,
    Moment,
    Scoped,
    Text,
    indexable,
    storable,
)

FORMAT: Literal["memsys-export"] = "memsys-export"
FORMAT_VERSION: Literal[1] = 1

_LONGEST_NAME = 1_000
Name = Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME), AfterValidator(storable)]

Key = Annotated[Name, AfterValidator(indexable)]


class Header(Body):
    """The first line."""

    format: Literal["memsys-export"]
    version: Literal[1]
    heads: bool = Field(False, description="Whether it holds the newest versions alone.")


class End(Body):
    """The last line. Without it the file is not complete."""

    end: Literal[True]
    versions: int = Field(ge=0, description="How many lines there were between the first and this one.")


def _shortened(name: str) -> str:
    """Names were once as long as what they were found in, and what was exported can be imported."""
    return name[:_LONGEST_NAME]


class EntityLine(Body):
    """Something that a version mentions."""

    key: Key
    name: Annotated[
        str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(storable), AfterValidator(_shortened)
    ] = Field(description=f"As it was written; of a longer one the first {_LONGEST_NAME} characters are kept.")
    kind: Name


class RelationLine(Body):
    """A statement that a version makes about two entities, by their keys."""

    subject: Key
    predicate: Name
    object: Key
    valid_from: Moment | None = None
    valid_to: Moment | None = None


class FeedbackLine(Body):
    """What was said of a memory, at the version that it was said of."""

    verdict: Verdict
    reason: Text | None = None
    given_by: Name | None = Field(None, description="The public id of a key; by default that of the import.")
    given_at: Moment | None = Field(None, description="When; the time of the import by default.")


class VersionLine(Scoped):
    """One version of one memory: it held from `recorded_from` until the next version of the same `id`.

    A memory's versions follow one another, from 1 on. What has no time gets the time of the import; without
    `entities` and `relations`, these are read out of the text. A memory has one `feedback`, the newest: it takes the
    place of an older one also where the version is there already, and without `given_at` of none.
    """

    id: UUID
    version: int = Field(1, ge=1, le=2**31 - 1)
    state: Literal["active", "deleted"] = "active"
    memory: Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(storable)] = Field("", description="The text.")
    role: Name | None = None
    speaker: Name | None = None
    thread: (
        Annotated[str, Field(max_length=MAX_INDEXED_BYTES), AfterValidator(storable), AfterValidator(indexable)] | None
    ) = Field(None, description="What was said together.")
    turn: int | None = Field(None, ge=0, lt=2**62, description="The place in its thread.")
    metadata: Metadata = Field(default_factory=dict)
    provenance: Metadata = Field(default_factory=dict, description="Where it came from and who wrote it.")
    event_time: Moment | None = Field(None, description="When it happened.")
    created_at: Moment | None = Field(None, description="When its first version was recorded.")
    recorded_from: Moment | None = Field(None, description="When this version was recorded.")
    expires_at: Moment | None = None
    entities: list[EntityLine] | None = None
    relations: list[RelationLine] | None = None
    feedback: FeedbackLine | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.state == "active") != bool(self.memory.strip()):
            raise ValueError("memory must be a text, and empty in a version whose state is deleted")
        if (self.thread is None) != (self.turn is None):
            raise ValueError("thread and turn go together")
        return self


class ImportError(BaseModel):
    """A line that was not imported, and why."""

    line: int = Field(description="Its number in the file, from 1.")
    field: str | None = Field(None, description="The field at fault, if it is one.")
    message: str
    review_id: UUID | None = Field(None, description="Where it was held for review: its id in `/quarantine`.")


class ImportReport(BaseModel):
    """What an import did. Everything it counts is stored; the same file again changes nothing."""

    imported: int = Field(description="Versions that were written.")
    unchanged: int = Field(description="Versions that were there already.")
    feedback: int = Field(description="Judgements that were written, of these versions or of those.")
    erased: int = Field(description="Lines that say what was erased here, and were left out.")
    held: int = Field(
        description="Suspect lines that are held for review, by the project's policy. What follows one of them in its "
        "memory's history fails: import the file again when it is released."
    )
    failed: int = Field(description="Lines that could not be imported.")
    complete: bool = Field(description="Whether the file had its last line and everything before it.")
    errors: list[ImportError] = Field(description="The first hundred lines that were erased, held or failed, and why.")


def example() -> list[dict[str, Any]]:
    """A small file, line by line."""
    return [
        {"format": FORMAT, "version": FORMAT_VERSION, "heads": False},
        {
            "id": "0b0f3c52-6f0e-4a55-9d0c-3f5e1f1a8f11",
            "version": 1,
            "user_id": "priya",
            "memory": "Priya moved to Lisbon in May",
            "event_time": "2026-05-12T09:00:00+00:00",
            "created_at": "2026-05-12T09:00:01+00:00",
            "recorded_from": "2026-05-12T09:00:01+00:00",
            "feedback": {"verdict": "POSITIVE", "given_at": "2026-05-13T08:00:00+00:00"},
        },
        {"end": True, "versions": 1},
    ]
