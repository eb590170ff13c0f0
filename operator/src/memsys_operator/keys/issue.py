"""Which secret a MemoryKey has now, what its Secret shall hold, and what the API shall accept. Pure.

A new secret is declared to the API before it is written to the Secret. Whoever dies between the two leaves a Secret
that still works, and the next pass declares another new one in place of the one that nobody has seen.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from memsys_operator import names
from memsys_operator.keys.spec import MemoryKey
from memsys_operator.observed import Manifest, secret_values

#: Secrets of one key that the API accepts at most; the oldest end first.
MOST_SECRETS = 5
_FINGERPRINT_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Previous:
    """A secret before the current one, by its hash, and until when it is accepted."""

    sha256: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Issue:
    """The secret in force. ``answers`` is the rotation request that it was made for."""

    secret: str
    issued_at: datetime
    previous: tuple[Previous, ...] = ()
    answers: str = ""

    @property
    def sha256(self) -> str:
        return _sha256(self.secret)


def settle(key: MemoryKey, held: Issue | None, now: datetime, make: Callable[[], str]) -> Issue:
    """Keep the secret that is held, or make the next one when it is missing, old, or asked for.

    A lost Secret is a lost secret: what it held is not accepted any longer.
    """
    if held is None:
        return Issue(make(), now, answers=key.rotation_request)
    due = key.next_rotation(held.issued_at)
    asked = key.rotation_request not in ("", held.answers)
    if not asked and (due is None or now < due):
        return held
    end = now + key.spec.rotation.overlap
    ended = [Previous(held.sha256, end), *(Previous(p.sha256, min(p.expires_at, end)) for p in held.previous)]
    kept = tuple(p for p in ended if p.expires_at > now)[: MOST_SECRETS - 1]
    return Issue(make(), now, kept, key.rotation_request or held.answers)


def read(key: MemoryKey, secret: Mapping[str, Any] | None) -> Issue | None:
    """What the Secret holds; None when that is no key of this resource (lost, edited, of an earlier resource)."""
    if secret is None:
        return None
    begin = f"msk_{key.key_id}_"
    value = secret_values(secret).get("key", "")
    notes = secret["metadata"].get("annotations") or {}
    if not value.startswith(begin) or len(value) == len(begin):
        return None
    try:
        previous = tuple(
            Previous(p["sha256"], datetime.fromisoformat(p["expires_at"]))
            for p in json.loads(notes.get(names.PREVIOUS_ANNOTATION) or "[]")
        )
        issued_at = datetime.fromisoformat(notes[names.ISSUED_ANNOTATION])
    except (KeyError, TypeError, ValueError):
        return None
    return Issue(value.removeprefix(begin), issued_at, previous, notes.get(names.ANSWERS_ANNOTATION, ""))


def secret_manifest(key: MemoryKey, issue: Issue, endpoints: Mapping[str, str]) -> Manifest:
    """The Secret of a key: ``key``, ``project`` and the endpoints. It goes with the MemoryKey."""
    values = {
        "key": f"msk_{key.key_id}_{issue.secret}",
        "project": key.spec.default_project or key.spec.projects[0],
        **endpoints,
    }
    previous = [{"sha256": p.sha256, "expires_at": p.expires_at.isoformat()} for p in issue.previous]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": key.secret_name,
            "namespace": key.ref.namespace,
            "labels": {
                **names.labels(key.spec.system_ref.name, names.API),
                names.KEY_LABEL: key.ref.name,
            },
            "annotations": {
                names.ISSUED_ANNOTATION: issue.issued_at.isoformat(),
                names.PREVIOUS_ANNOTATION: json.dumps(previous),
                names.ANSWERS_ANNOTATION: issue.answers,
            },
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": names.KEY_KIND,
                    "name": key.ref.name,
                    "uid": key.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "type": "Opaque",
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in values.items()},
    }


def declaration(key: MemoryKey, issue: Issue | None, now: datetime) -> dict[str, Any]:
    """What ``PUT /keys/{id}`` shall be told. ``issue`` is None for a key that a ServiceAccount stands for."""
    spec = key.spec
    secrets: list[dict[str, Any]] = []
    if issue is not None:
        secrets = [{"sha256": issue.sha256, "expires_at": None}]
        secrets += [
            {"sha256": p.sha256, "expires_at": p.expires_at.isoformat()} for p in issue.previous if p.expires_at > now
        ]
    return {
        "name": key.api_name,
        "projects": list(dict.fromkeys(spec.projects)),
        "default_project": spec.default_project or spec.projects[0],
        "user_id": spec.user_id,
        "agent_id": spec.agent_id,
        "app_id": spec.app_id,
        "run_id": spec.run_id,
        "rights": sorted(set(spec.rights)),
        "expires_at": spec.expires_at.astimezone(UTC).isoformat() if spec.expires_at else None,
        "requests_per_minute": spec.requests_per_minute,
        "subject": key.subject,
        "secrets": secrets,
    }


def declared(wanted: Mapping[str, Any], listed: Mapping[str, Any] | None) -> bool:
    """Whether the API's own account of a key says what was declared; it shows hashes by their beginning."""
    if listed is None:
        return False
    for field, value in wanted.items():
        if field == "secrets":
            shown = {(s["fingerprint"], _moment(s["expires_at"])) for s in listed.get("secrets") or ()}
            if shown != {(s["sha256"][:_FINGERPRINT_LENGTH], _moment(s["expires_at"])) for s in value}:
                return False
        elif field == "expires_at":
            if _moment(listed.get(field)) != _moment(value):
                return False
        elif listed.get(field) != value:
            return False
    return True


def outlives(key: MemoryKey, listed: Mapping[str, Any]) -> bool:
    """Whether the API lets a key in for longer than its resource says."""
    if key.spec.expires_at is None:
        return False
    until = _moment(listed.get("expires_at"))
    return until is None or until > key.spec.expires_at


def _moment(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
