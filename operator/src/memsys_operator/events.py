"""Which changes of the status are worth a Kubernetes Event. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Notice:
    kind: str  # Normal or Warning
    reason: str
    note: str


#: Conditions that are told of, with the status that is good news.
_TOLD = {"Ready": "True", "Stalled": "False", "GraphSynced": "True"}
_GOOD_NEWS = {"Ready": "Ready", "Stalled": "Resumed", "GraphSynced": "GraphSynced"}


def transitions(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[Notice]:
    """One notice for each told condition that changed its status, or its reason while it is bad news.

    A condition that appears for the first time is told only when it is Ready=True or Stalled=True: everything
    else is what a start looks like.
    """
    old = {condition["type"]: condition for condition in before}
    notices = []
    for condition in after:
        kind, status = condition["type"], condition["status"]
        if kind not in _TOLD or status == "Unknown":
            continue
        last = old.get(kind)
        good = status == _TOLD[kind]
        if last is None or last["status"] == "Unknown":
            news = (kind == "Ready" and good) or (kind != "Ready" and not good)
        elif last["status"] != status:
            news = True
        else:
            news = kind == "Stalled" and not good and last["reason"] != condition["reason"]
        if news:
            reason = _GOOD_NEWS[kind] if good else condition["reason"]
            notices.append(Notice("Normal" if good else "Warning", reason, condition["message"]))
    return notices
