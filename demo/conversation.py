"""Reads conversations in the format of LoCoMo (Maharana et al., ACL 2024), which the demo's own file uses too."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

TURN_ID = re.compile(r"D\d+:\d+")
CATEGORY_WITHOUT_ANSWER = 5


@dataclass(frozen=True)
class Turn:
    """One utterance. ``said_at`` orders the turns of a session a second apart, because LoCoMo dates sessions only."""

    id: str
    session: str
    speaker: str
    text: str
    said_at: datetime


@dataclass(frozen=True)
class Question:
    text: str
    answer: str
    evidence: frozenset[str]
    category: int


@dataclass(frozen=True)
class Conversation:
    id: str
    turns: tuple[Turn, ...]
    questions: tuple[Question, ...]


def read(path: Path) -> list[Conversation]:
    """Return the conversations of a file.

    Raises ValueError, naming what was expected, when the file is not in LoCoMo's format.
    """
    try:
        documents = json.loads(path.read_text(encoding="utf-8"))
        return [_conversation(number, document) for number, document in enumerate(documents)]
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path}: expected LoCoMo's format, a list of {{conversation: {{session_1, …}}, qa: […]}} ({error!r})"
        ) from error


def _conversation(number: int, document: dict[str, Any]) -> Conversation:
    body = document["conversation"]
    turns: list[Turn] = []
    for session in sorted((key for key in body if re.fullmatch(r"session_\d+", key)), key=lambda s: int(s[8:])):
        began = _session_time(body[f"{session}_date_time"])
        for second, turn in enumerate(body[session]):
            caption = f" [shares a picture: {turn['blip_caption']}]" if turn.get("blip_caption") else ""
            turns.append(
                Turn(
                    turn["dia_id"],
                    session,
                    turn["speaker"],
                    turn["text"] + caption,
                    began + timedelta(seconds=second),
                )
            )
    known = {turn.id for turn in turns}
    questions = [
        Question(item["question"], str(item.get("answer", "")), evidence, int(item["category"]))
        for item in document["qa"]
        if (evidence := _evidence(item["evidence"], known)) and item["category"] != CATEGORY_WITHOUT_ANSWER
    ]
    return Conversation(str(document.get("sample_id", number)), tuple(turns), tuple(questions))


def _session_time(text: str) -> datetime:
    """Read "1:56 pm on 8 May, 2023"; taken as UTC, since LoCoMo names no zone."""
    return datetime.strptime(text, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)


def _evidence(entries: list[str], known: set[str]) -> frozenset[str]:
    """Some entries join several ids ("D8:6; D9:17") or name no turn; keep the ids that exist."""
    return frozenset(found for entry in entries for found in TURN_ID.findall(entry) if found in known)
