"""The status of a MemoryKey. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from memsys_operator.errors import Broken, OperatorError, Rejected
from memsys_operator.keys.issue import Issue
from memsys_operator.keys.spec import MemoryKey
from memsys_operator.names import GROUP
from memsys_operator.observed import Manifest

#: What the API wants the tokens of ServiceAccounts to be made for, unless its own settings say otherwise.
AUDIENCE = GROUP


def status(
    obj: Mapping[str, Any], key: MemoryKey | None, issue: Issue | None, problem: OperatorError | None, now: str
) -> Manifest:
    """What to write: the conditions Ready and Stalled, the key's public id, where its secret is, and its dates.

    ``now`` is when a condition changes, in RFC 3339; one that says the same keeps its time.
    """
    before = {c["type"]: c for c in (obj.get("status") or {}).get("conditions") or ()}
    generation = obj["metadata"].get("generation", 0)
    stalled = isinstance(problem, Rejected | Broken)

    def condition(kind: str, state: bool, reason: str, message: str) -> Manifest:
        value = "True" if state else "False"
        last = before.get(kind)
        changed = last["lastTransitionTime"] if last is not None and last["status"] == value else now
        return {
            "type": kind,
            "status": value,
            "reason": reason,
            "message": message,
            "observedGeneration": generation,
            "lastTransitionTime": changed,
        }

    if problem is not None:
        ready = condition("Ready", False, problem.reason, problem.message)
    elif key is not None and key.subject is not None:
        said = (
            f"the API accepts tokens of {key.subject} that are made for the audience {AUDIENCE}, if it may have them "
            "reviewed: see tokenReview.serviceAccounts of the operator's chart"
        )
        ready = condition("Ready", True, "Accepted", said)
    else:
        where = key.secret_name if key is not None else ""
        ready = condition("Ready", True, "Accepted", f"the key in Secret {where} is accepted")
    why = (problem.reason, problem.message) if problem is not None and stalled else ("Accepted", "nothing stalls")
    made: Manifest = {"observedGeneration": generation, "conditions": [ready, condition("Stalled", stalled, *why)]}
    if key is None:
        return made
    made["keyId"] = key.key_id
    if issue is not None:
        made["secretName"] = key.secret_name
        made["issuedAt"] = _time(issue.issued_at)
        if (due := key.next_rotation(issue.issued_at)) is not None:
            made["rotatesAt"] = _time(due)
    return made


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
