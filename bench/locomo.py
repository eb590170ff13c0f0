"""Reads a LoCoMo file: long conversations with questions and the turns that answer them (Maharana et al., ACL 2024)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop"}
"""Category 5 asks for what was never said: it has no evidence to be recalled."""

_TURN_ID = re.compile(r"D\d+:\d+")


@dataclass(frozen=True, slots=True)
class Turn:
    id: str
    session: str
    number: int
    """Place in the session, from 0."""
    speaker: str
    text: str
    said_at: datetime
    """When the session took place; LoCoMo dates no single turn."""


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    answer: str
    category: int
    evidence: frozenset[str]


@dataclass(frozen=True, slots=True)
class Conversation:
    name: str
    turns: tuple[Turn, ...]
    questions: tuple[Question, ...]


def load(path: Path, *, captions: bool = False) -> list[Conversation]:
    """Return the conversations of a file; with ``captions``, a turn that shows a picture says what is on it.

    Raises ValueError, naming what was expected, when the file is not in LoCoMo's format.
    """
    try:
        return _conversations(json.loads(path.read_text(encoding="utf-8")), captions)
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path}: expected LoCoMo's format, [{{sample_id, conversation: {{session_1, …}}, qa: […]}}] ({error!r})"
        ) from error


def _conversations(entries: list[dict[str, Any]], captions: bool) -> list[Conversation]:
    conversations = []
    for entry in entries:
        turns = tuple(_turns(entry["conversation"], captions))
        known = {turn.id for turn in turns}
        questions = tuple(question for raw in entry["qa"] if (question := _question(raw, known)) is not None)
        conversations.append(Conversation(entry["sample_id"], turns, questions))
    return conversations


def _turns(conversation: dict[str, Any], captions: bool) -> Iterator[Turn]:
    sessions = [key for key in conversation if re.fullmatch(r"session_\d+", key)]
    for session in sorted(sessions, key=lambda key: int(key.removeprefix("session_"))):
        date = datetime.strptime(conversation[f"{session}_date_time"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
        for number, raw in enumerate(conversation[session]):
            caption = f" [shows {raw['blip_caption']}]" if captions and raw.get("blip_caption") else ""
            yield Turn(raw["dia_id"], session, number, raw["speaker"], raw["text"] + caption, date)


def _question(raw: dict[str, Any], known: set[str]) -> Question | None:
    """``None`` for a question without evidence among the turns. Some evidence is written "D8:6; D9:17"."""
    evidence = frozenset(turn for entry in raw["evidence"] for turn in _TURN_ID.findall(entry)) & known
    if raw["category"] not in CATEGORIES or not evidence:
        return None
    return Question(raw["question"], str(raw.get("answer", "")), raw["category"], evidence)
