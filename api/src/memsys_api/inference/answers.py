"""The model's answer as typed values: every field may be missing, of another type, or named as other prompts name it.

Pure. What has no text is skipped, what has one is kept with whatever else can be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from memsys_api.filters import EARLIEST, LATEST

Verdict: TypeAlias = Literal["add", "supersede", "none"]

_LISTS = ("memory", "memories", "facts", "results")
_TEXTS = ("text", "memory", "fact", "content")
_VERDICTS: dict[str, Verdict] = {
    **dict.fromkeys(("add", "new", "create"), "add"),
    **dict.fromkeys(("supersede", "supersedes", "update", "replace", "delete"), "supersede"),
    **dict.fromkeys(("none", "noop", "no_op", "nothing", "skip", "duplicate", "same"), "none"),
}
_DATE = re.compile(r"(\d{4})(?:-(\d{1,2}))?(?:-(\d{1,2}))?")
_UNSTORABLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]"
)  # PostgreSQL refuses NUL, UTF-8 lone surrogates
_MOST_ITEMS = 50  # in one list of one fact


class WrongForm(ValueError):
    """The answer is JSON of another form. The message tells the model what was wrong."""


@dataclass(frozen=True, slots=True)
class RawFact:
    """One fact as the model gave it; numbers are positions in the lists that it was shown, not yet checked."""

    text: str
    decision: Verdict = "add"
    memory_id: int | None = None
    linked: tuple[int, ...] = ()
    messages: tuple[int, ...] = ()
    attributed_to: str | None = None
    event_date: str | None = None
    entities: tuple[tuple[str, str], ...] = ()  # name, kind
    relations: tuple[tuple[str, str, str, str | None, str | None], ...] = ()  # subject, predicate, object, from, to


def raw_facts(answer: object) -> list[RawFact]:
    """Return the facts of an answer, in its order. Raises :class:`WrongForm` when it holds no list of facts at all."""
    items = _items(answer)
    if items is None:
        raise WrongForm(f'there is no list "memory" in the answer, which is {_kind(answer)}')
    facts = [_fact(item) for item in items]
    if items and not any(facts):
        raise WrongForm('no item of "memory" has a "text"')
    return [fact for fact in facts if fact]


def moment(text: str | None) -> datetime | None:
    """Return the start of a date (YYYY, YYYY-MM or YYYY-MM-DD, perhaps with a time) in UTC.

    ``None`` for what is none, and for one that no request could name: an import would refuse what an export says.
    """
    when = _moment(text.strip()) if text else None
    return when if when is not None and EARLIEST <= when.timestamp() <= LATEST else None


def _moment(text: str) -> datetime | None:
    try:
        exact = datetime.fromisoformat(text)
        return exact.replace(tzinfo=UTC) if exact.tzinfo is None else exact.astimezone(UTC)
    except OverflowError:
        return None
    except ValueError:
        found = _DATE.fullmatch(text[:10].rstrip("-T "))
    if found is None:
        return None
    try:
        return datetime(int(found[1]), int(found[2] or 1), int(found[3] or 1), tzinfo=UTC)
    except ValueError:
        return None


def clean(value: object) -> str:
    """Return a string that every store accepts: without control characters, lone surrogates and outer spaces."""
    return _UNSTORABLE.sub("", value).strip() if isinstance(value, str) else ""


def _items(answer: object) -> list[Any] | None:
    if isinstance(answer, Mapping):
        for name in _LISTS:
            if name in answer:
                inner = answer[name]
                if isinstance(inner, list):
                    return inner
                if inner is None:
                    return []
                if isinstance(inner, Mapping):
                    return [inner]
        if not answer:
            return []
        return [answer] if any(name in answer for name in _TEXTS) else None
    return answer if isinstance(answer, list) else None


def _fact(item: object) -> RawFact | None:
    if isinstance(item, str):
        item = {"text": item}
    if not isinstance(item, Mapping):
        return None
    text = next((clean(item[name]) for name in _TEXTS if clean(item.get(name))), "")
    if not text:
        return None
    decision = next((item[name] for name in ("decision", "action", "event", "operation") if item.get(name)), "add")
    role = clean(item.get("attributed_to")).casefold()
    return RawFact(
        text=text,
        decision=_VERDICTS.get(clean(decision).casefold(), "add"),
        memory_id=_number(item.get("memory_id")),
        linked=_numbers(item.get("linked_memory_ids")),
        messages=_numbers(item.get("messages")),
        attributed_to=role if role in ("user", "assistant") else None,
        event_date=clean(item.get("event_date")) or None,
        entities=tuple(pair for entry in _list(item.get("entities")) if (pair := _entity(entry))),
        relations=tuple(row for entry in _list(item.get("relations")) if (row := _relation(entry))),
    )


def _entity(entry: object) -> tuple[str, str] | None:
    if isinstance(entry, str):
        return (clean(entry), "") if clean(entry) else None
    if not isinstance(entry, Mapping) or not clean(entry.get("name")):
        return None
    return clean(entry["name"]), clean(entry.get("kind") or entry.get("type"))


def _relation(entry: object) -> tuple[str, str, str, str | None, str | None] | None:
    if isinstance(entry, list) and len(entry) == 3:
        entry = dict(zip(("subject", "predicate", "object"), entry, strict=True))
    if not isinstance(entry, Mapping):
        return None
    subject, predicate, object_ = (
        clean(entry.get(ours) or entry.get(mem0s))
        for ours, mem0s in (("subject", "source"), ("predicate", "relationship"), ("object", "destination"))
    )
    if not (subject and predicate and object_):
        return None
    return subject, predicate, object_, clean(entry.get("valid_from")) or None, clean(entry.get("valid_to")) or None


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdecimal() and len(value.strip()) <= 6:
        value = int(value)
    return value if isinstance(value, int) and 0 <= value < 1_000_000 else None


def _numbers(value: object) -> tuple[int, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(number for item in items[:_MOST_ITEMS] if (number := _number(item)) is not None)


def _list(value: object) -> list[Any]:
    return value[:_MOST_ITEMS] if isinstance(value, list) else []


def _kind(value: object) -> str:
    names = ", ".join(sorted(str(key)[:40] for key in value)[:5]) if isinstance(value, Mapping) else ""
    return f"an object of {names}" if names else f"a {type(value).__name__}"
