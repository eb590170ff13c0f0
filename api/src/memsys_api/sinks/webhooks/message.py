"""What a webhook is told, in the form that Standard Webhooks recommends: type, timestamp, data. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson

from memsys_api.model import Scope


@dataclass(frozen=True)
class Message:
    """One event as one webhook hears of it."""

    webhook_id: UUID
    event_id: int
    event: str
    occurred_at: datetime
    scope: Scope
    memory_id: UUID
    version: int
    text: str | None = None
    """Of the version, where the webhook asks for it and the memory is still there."""
    with_text: bool = False


def message_id(webhook_id: UUID, event_id: int) -> str:
    """The same for every attempt, and of no other system: what receivers tell repetitions by."""
    return f"msg_{webhook_id.hex}_{event_id}"


def body(message: Message) -> bytes:
    """The message as it is signed and sent."""
    data = {
        "event_id": message.event_id,
        "event": message.event,
        "project": message.scope.project,
        "memory_id": message.memory_id,
        "version": message.version,
        "user_id": message.scope.user_id,
        "agent_id": message.scope.agent_id,
        "app_id": message.scope.app_id,
        "run_id": message.scope.run_id,
    }
    if message.with_text:
        data["memory"] = message.text
    return orjson.dumps({"type": f"memory.{message.event}", "timestamp": message.occurred_at, "data": data})
