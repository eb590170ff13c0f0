"""An example for every request and answer in the API's description: one small story, told by field names. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memsys_api import problems

_ID = "0b6a3f0e-5d0e-4b1e-9a57-6f3c1c0f2a11"
_MOMENT = "2026-05-03T09:30:00Z"
_LATER = "2026-05-04T09:30:00Z"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

REQUESTS: Mapping[str, Any] = {
    "AddRequest": {
        "messages": [{"role": "user", "content": "I moved to Lisbon in May.", "name": "Ana"}],
        "user_id": "ana",
        "run_id": "monday",
        "metadata": {"source": "chat"},
    },
    "BatchAddRequest": {"requests": [{"text": "Ana prefers green tea.", "user_id": "ana", "infer": False}]},
    "UpdateRequest": {"text": "Ana prefers black tea.", "version": 1},
    "SearchRequest": {"query": "Where does Ana live?", "user_id": "ana", "top_k": 5},
    "NewKeyRequest": {"name": "team a", "projects": ["team-a"], "rights": ["read", "write"]},
    "DeclaredKey": {"name": "team a", "projects": ["team-a"], "secrets": [{"sha256": _SHA256}]},
    "RotateRequest": {"overlap_seconds": 3600},
    "PolicyDocument": {"quarantine": "hold", "requests_per_minute": 600},
    "ErasureScope": {"user_id": "ana"},
    "MergeRequest": {"from": "bob", "into": "robert", "reason": "one person"},
    "UnmergeRequest": {"from": "bob"},
    "NewWebhookRequest": {"url": "https://hooks.example.com/memsys", "events": ["added", "deleted"]},
    "WebhookChange": {"active": False},
    "ReplayRequest": {"since": _MOMENT},
    "Mem0Add": {"messages": [{"role": "user", "content": "I moved to Lisbon."}], "user_id": "ana"},
    "Mem0GetAll": {"filters": {"user_id": "ana"}},
    "Mem0Search": {"query": "Where does Ana live?", "filters": {"user_id": "ana"}},
    "Mem0BatchUpdate": {"memories": [{"memory_id": _ID, "text": "Ana lives in Lisbon."}]},
    "Mem0BatchDelete": {"memories": [{"memory_id": _ID}]},
    "Mem0Feedback": {"memory_id": _ID, "feedback": "NEGATIVE", "feedback_reason": "She moved again."},
    "Mem0Export": {
        "schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "filters": {"user_id": "ana"},
    },
    "Mem0ExportQuery": {"memory_export_id": _ID},
    "Mem0Update": {"text": "Ana lives in Lisbon."},
}
"""By the name of the body's schema. What a body may hold together is no matter of its fields alone."""

_JSON_LINES = '{"format":"memsys","version":1}\n'

_WORDS: Mapping[str, Any] = {
    "actor": "k4Jq0aXw2LmZ",
    "agent_id": "assistant",
    "app_id": "desk",
    "content": "I moved to Lisbon in May.",
    "default_project": "team-a",
    "detail": "there is no such memory",
    "hash": _SHA256,
    "memory": "Ana moved to Lisbon in May.",
    "message": "is required",
    "model": "all-MiniLM-L6-v2",
    "name": "Ana",
    "new_memory": "Ana moved to Lisbon in May.",
    "old_memory": None,
    "project": "team-a",
    "provider": "builtin",
    "role": "user",
    "run_id": "monday",
    "sha256": _SHA256,
    "subject": "system:serviceaccount:agents:assistant",
    "text": "Ana moved to Lisbon in May.",
    "url": "https://hooks.example.com/memsys",
    "user_id": "ana",
}


def illustrate(description: dict[str, Any]) -> None:
    """Give each request and each answer in a description an example, where it has none."""
    schemas = description["components"]["schemas"]
    for operations in description["paths"].values():
        for operation in operations.values():
            for media, content in operation.get("requestBody", {}).get("content", {}).items():
                _offer(content, _request(media, content))
            for status, response in operation["responses"].items():
                for media, content in response.get("content", {}).items():
                    if int(status) >= 400:
                        _offer(content, _problem(int(status)))
                    elif media == "application/json":
                        _offer_answer(content, schemas)


def _offer(content: dict[str, Any], example: Any) -> None:
    if "examples" not in content:
        content.setdefault("example", example)


def _offer_answer(content: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """An example of an answer; where it is one of several, of each."""
    schema = content.get("schema", {})
    if several := schema.get("anyOf"):
        named = {one["$ref"].rpartition("/")[2]: {"value": example(one, schemas)} for one in several}
        content.setdefault("examples", named)
    else:
        _offer(content, example(schema, schemas))


def _request(media: str, content: Mapping[str, Any]) -> Any:
    if media != "application/json":
        return _JSON_LINES
    return REQUESTS[content["schema"]["$ref"].rpartition("/")[2]]


def _problem(status: int) -> dict[str, Any]:
    kind = next(kind for kind in problems.KINDS if kind.status == status)
    return {
        "type": problems.BASE + kind.slug,
        "title": kind.title,
        "status": status,
        "detail": kind.title,
        "instance": "/memories",
    }


def example(schema: Mapping[str, Any], schemas: Mapping[str, Any], name: str = "") -> Any:
    """A value of a JSON schema; ``name`` is the field that it stands in."""
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    for given in ("const", "default"):
        if schema.get(given) is not None:
            return schema[given]
    if "enum" in schema:
        return schema["enum"][0]
    if options := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return example(next((o for o in options if o.get("type") != "null"), options[0]), schemas, name)
    return _typed(schema, schemas, name)


def _typed(schema: Mapping[str, Any], schemas: Mapping[str, Any], name: str) -> Any:
    kind = schema.get("type")
    if kind == "object":
        fields = schema.get("properties", {})
        return {field: example(described, schemas, field) for field, described in fields.items()}
    if kind == "array":
        return [example(schema.get("items", {}), schemas, name.removesuffix("s"))]
    if kind == "string":
        return _text(schema, name)
    if kind == "boolean":
        return True
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    return None if kind == "null" else {}


def _text(schema: Mapping[str, Any], name: str) -> Any:
    known = {"uuid": _ID, "date-time": _LATER if name.startswith(("updated", "expires")) else _MOMENT}
    return known.get(schema.get("format", "")) or _WORDS.get(name) or name or "text"
