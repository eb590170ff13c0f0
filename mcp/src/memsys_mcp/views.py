"""What a model gets to see: typed, compact, and within a budget of tokens. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field

from memsys import Added, Found, HeldWrite, HistoryEntry, Memory

CHARACTERS_PER_TOKEN = 4
OVERHEAD_TOKENS = 40  # the envelope around the results
ELLIPSIS = "…"
EXCERPT = 400  # characters of a queued write
SCOPE = ("user_id", "agent_id", "app_id", "run_id")
_INDENT = "  "
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


class Remembered(BaseModel):
    """One memory, without what is empty."""

    id: str = Field(description="Use it with update_memory, delete_memory or memory://{id}.")
    memory: str
    event_time: datetime | None = Field(None, description="When it happened.")
    user_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    run_id: str | None = None
    metadata: dict[str, Any] | None = None
    cut: bool | None = Field(None, description="True: shortened to the token budget; memory://{id} has all of it.")


class Hit(Remembered):
    """A memory that answers a search."""

    score: float = Field(description="Higher is better; comparable within one answer only.")
    source: list[str] = Field(default_factory=list, description="What found it: vector, text, graph.")


class SearchAnswer(BaseModel):
    """Best first. ``left_off`` were found too, but did not fit the token budget."""

    results: list[Hit]
    left_off: int = 0


class ListAnswer(BaseModel):
    """One page. Pass ``next_cursor`` as ``cursor`` for the next; without one, this was the last."""

    results: list[Remembered]
    next_cursor: str | None = None


class AddedView(BaseModel):
    """What became of the text."""

    id: str
    event: Literal["ADD", "UPDATE", "DELETE", "NONE"] = Field(
        description="ADD: stored. NONE: known already; id is the memory that holds it."
    )
    memory: str | None = Field(None, description="What was stored, where it is not the text as given.")
    version: int
    project: str | None = None


class Queued(BaseModel):
    """The memory service is away: the text is kept by this server and not yet stored."""

    stored: Literal[False] = False
    waiting: int = Field(
        description="How many of your writes to this project wait, this one included; memsys://queue lists them."
    )


class HeldView(BaseModel):
    """The text looks suspect: it is not stored, and waits for a person's review."""

    stored: Literal[False] = False
    review_id: str
    looks_like: list[str]


class AddAnswer(BaseModel):
    """One entry per memory; none where the text is ``queued`` or ``held``."""

    results: list[AddedView]
    queued: Queued | None = None
    held: HeldView | None = None


class Waiting(BaseModel):
    """One write in the queue. ``refused`` is why it will not be tried again."""

    id: int
    memory: str
    queued_at: datetime
    refused: str | None = None
    cut: bool | None = Field(None, description="True: shortened; memsys://queue/{id} has all of it.")


class QueueView(BaseModel):
    """The caller's own writes to the project that are not stored (yet): first the refused, then the oldest.

    ``left_off`` did not fit.
    """

    waiting: int
    refused: int
    writes: list[Waiting]
    left_off: int = 0


class Changed(BaseModel):
    """A memory that was updated or deleted."""

    id: str
    event: Literal["UPDATE", "DELETE"]
    version: int | None = Field(None, description="The version it is at now.")


R = TypeVar("R", bound=Remembered)


def tokens(text: str) -> int:
    """An estimate of the tokens in ``text``: one per four bytes of UTF-8, rounded up."""
    return math.ceil(len(text.encode()) / CHARACTERS_PER_TOKEN)


def cost(item: BaseModel) -> int:
    """An estimate of the tokens of one result as the JSON the client receives."""
    return tokens(item.model_dump_json(exclude_none=True)) + 1


def remembered(memory: Memory) -> Remembered:
    return Remembered(**_common(memory))


def hit(found: Found) -> Hit:
    return Hit(**_common(found), score=round(found.score, 4), source=list(found.source))


def added(result: Added, given: str) -> AddedView:
    return AddedView(
        id=str(result.id),
        event=result.event,
        memory=None if result.memory.strip() == given.strip() else result.memory,
        version=result.version,
        project=result.project,
    )


def held(write: HeldWrite) -> HeldView:
    return HeldView(review_id=str(write.review_id), looks_like=sorted({found.kind for found in write.findings}))


def fit(items: Sequence[R], budget: int) -> list[R]:
    """The first items that fit ``budget`` tokens together. At least one, shortened where it alone is too long."""
    left = budget - OVERHEAD_TOKENS
    kept: list[R] = []
    for item in items:
        left -= cost(item)
        if left < 0:
            if not kept:
                kept.append(shorten(item, budget - OVERHEAD_TOKENS))
            break
        kept.append(item)
    return kept


def shorten(item: R, budget: int) -> R:
    """The item within ``budget`` tokens: without its metadata, or also without its scope, or its text cut as well."""
    cut = item.model_copy(update={"cut": True})
    for dispensable in (("metadata",), SCOPE):
        cut = cut.model_copy(update=dict.fromkeys(dispensable))
        if cost(cut) <= budget:
            return cut
    length = _longest(
        len(item.memory), lambda n: cost(cut.model_copy(update={"memory": item.memory[:n] + ELLIPSIS})) <= budget
    )
    return cut.model_copy(update={"memory": item.memory[:length] + ELLIPSIS})


def newest(entries: Sequence[HistoryEntry], budget: int) -> list[HistoryEntry]:
    """The last changes that fit ``budget`` tokens together, oldest first. At least one, its texts cut if need be."""
    left = budget
    kept: list[HistoryEntry] = []
    for entry in reversed(entries):
        left -= cost(entry)
        if left < 0:
            if not kept:
                kept.append(_cut(entry, budget))
            break
        kept.append(entry)
    return kept[::-1]


def _cut(entry: HistoryEntry, budget: int) -> HistoryEntry:
    texts = {name: text for name in ("old_memory", "new_memory") if (text := getattr(entry, name)) is not None}

    def at(length: int) -> HistoryEntry:
        cut = {name: text[:length] + ELLIPSIS for name, text in texts.items() if len(text) > length}
        return entry.model_copy(update={**cut, "cut": True})

    return at(_longest(max(map(len, texts.values()), default=0), lambda length: cost(at(length)) <= budget))


def _longest(length: int, fits: Callable[[int], bool]) -> int:
    """The greatest length that fits, by bisection: escaping makes that of the JSON no simple function of a text's."""
    low, high = 0, length
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def fit_writes(writes: Sequence[Waiting], budget: int) -> list[Waiting]:
    """The first writes that fit ``budget`` tokens together, of long texts their beginnings."""
    left = budget - OVERHEAD_TOKENS
    kept: list[Waiting] = []
    for write in writes:
        if len(write.memory) > EXCERPT:
            write = write.model_copy(update={"memory": write.memory[:EXCERPT] + ELLIPSIS, "cut": True})
        left -= cost(write)
        if left < 0:
            break
        kept.append(write)
    return kept


def search_text(answer: SearchAnswer) -> str:
    """The answer to a search as lines of text."""
    if not answer.results:
        return "Nothing is remembered about this. Try other words, or list_memories to see what there is."
    lines = [f"{number}. {_line(result)}" for number, result in enumerate(answer.results, start=1)]
    if answer.left_off:
        lines.append(f"({answer.left_off} more did not fit: raise token_budget or ask more narrowly.)")
    return "\n".join(lines)


def list_text(answer: ListAnswer) -> str:
    """A page as lines of text."""
    if not answer.results:
        return "Nothing is remembered here yet. Use add_memory to store something."
    lines = [f"- {_line(result)}" for result in answer.results]
    if answer.next_cursor:
        lines.append(f"(More: call list_memories again with cursor={answer.next_cursor!r}.)")
    return "\n".join(lines)


def add_text(answer: AddAnswer) -> str:
    """What was stored, as lines of text."""
    if answer.queued:
        return (
            "Queued, not yet stored: the memory service is away. It is stored as soon as the service is back, and not "
            f"found before that. {answer.queued.waiting} of your writes wait (memsys://queue lists them). Should this "
            "server restart first, they wait for your next call with the same key."
        )
    if answer.held:
        return (
            f"Not stored: the text looks like {' and '.join(answer.held.looks_like) or 'something suspect'}, and this "
            f"project holds such writes for a person to review [review {answer.held.review_id}]. Do not send it "
            "again, nor in other words; tell the user. Without the suspect part it can be stored at once."
        )
    if not answer.results:
        return "Nothing worth remembering was found in this text, so nothing was stored."
    words = {
        "ADD": "Stored",
        "UPDATE": "Updated what was known",
        "DELETE": "Removed what no longer holds",
        "NONE": "Known already",
    }
    return "\n".join(
        f"{words[result.event]}{f': {_within_a_line(result.memory)}' if result.memory else ''} [id {result.id}]"
        for result in answer.results
    )


def _line(item: Remembered) -> str:
    when = f" ({item.event_time:%Y-%m-%d})" if item.event_time else ""
    return f"{_within_a_line(item.memory)}{when} [id {item.id}]"


def _within_a_line(text: str) -> str:
    """A text as a part of one entry among lines of text, whatever it was written to look like.

    Its own further lines are indented, so that none begins as an entry or as words of this server; what terminals take
    for commands is shown as a replacement character, and marks that turn the order of what follows are left out.
    """
    lines = text.splitlines()
    shown = "\n".join([*lines[:1], *(_INDENT + line if line else line for line in lines[1:])])
    return _TURNING.sub("", _CONTROL.sub("\ufffd", shown))


def _common(memory: Memory) -> dict[str, Any]:
    return {
        "id": str(memory.id),
        "memory": memory.memory,
        "event_time": memory.event_time,
        "user_id": memory.user_id,
        "agent_id": memory.agent_id,
        "app_id": memory.app_id,
        "run_id": memory.run_id,
        "metadata": memory.metadata or None,
    }
