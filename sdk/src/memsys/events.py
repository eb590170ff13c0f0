"""What happens after an add: events to follow, webhooks, changes. Models, operations, and both clients' methods."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from memsys.models import Added, Wire
from memsys.operations import Call, to_body
from memsys.paths import id_segment
from memsys.sending import AsyncSending, Sending

EventName = Literal["added", "updated", "deleted"]


class AddEvent(Wire):
    """An add that was answered before it was carried out. Until it has succeeded, and when the model cannot read it,
    ``results`` are its messages as they were said; of what is held or not let in there are none."""

    id: uuid.UUID
    status: Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "HELD"]
    results: tuple[Added, ...] = ()
    error: str | None = None
    review_id: uuid.UUID | None = None
    """Where it was held for review."""
    created_at: datetime | None = None
    finished_at: datetime | None = None


class BatchAdded(Wire):
    """One event for each request of a batch, in order."""

    results: tuple[AddEvent, ...]


class InferenceSync(Wire):
    """What waits for the language model, and how much of it was queued again."""

    requeued: int = 0
    pending: int = 0
    parked: int = 0
    last_error: str | None = None


class Webhook(Wire):
    """Who is told of which changes, without the secret."""

    id: uuid.UUID
    url: str
    description: str = ""
    events: tuple[EventName, ...] = ()
    include: tuple[str, ...] = ()
    user_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    run_id: str | None = None
    active: bool = True
    created_at: datetime | None = None
    updated_at: datetime | None = None


class NewWebhook(Webhook):
    """A webhook just registered. ``secret`` is shown once and cannot be read again."""

    secret: str = Field(repr=False)


class Webhooks(Wire):
    """The webhooks of a project."""

    results: tuple[Webhook, ...]


class WebhookDelivery(Wire):
    """One event as far as one webhook is concerned."""

    event_id: int
    event: EventName
    memory_id: uuid.UUID
    version: int
    state: Literal["pending", "parked", "delivered"]
    attempts: int = 0
    status: int | None = None
    error: str | None = None
    occurred_at: datetime | None = None
    delivered_at: datetime | None = None


class WebhookDeliveries(Wire):
    """Deliveries, newest first; ``next_cursor`` is ``None`` on the last page."""

    results: tuple[WebhookDelivery, ...]
    next_cursor: str | None = None


class Change(Wire):
    """One change of one memory. ``id`` is the position after it."""

    id: str
    event: EventName
    memory_id: uuid.UUID
    version: int
    project: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    run_id: str | None = None
    occurred_at: datetime | None = None
    memory: str | None = None


class ChangePage(Wire):
    """Changes, oldest first. Go on at ``next``; at once while there is ``more``."""

    results: tuple[Change, ...]
    next: str
    more: bool = False


class _Replayed(Wire):
    queued: int
    go_on_after: int | None = None


def _hook(webhook_id: uuid.UUID | str, rest: str = "") -> str:
    return f"/webhooks/{id_segment('webhook_id', webhook_id)}{rest}"


def submit(request: Mapping[str, Any], idempotency_key: str | None) -> Call[AddEvent]:
    headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    body = to_body(**{**request, "wait": False})
    return Call("POST", "/memories", AddEvent, body=body, headers=headers, repeatable=True)


def add_batch(requests: Sequence[Mapping[str, Any]], idempotency_key: str | None) -> Call[BatchAdded]:
    headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    body = to_body(requests=requests)
    return Call("POST", "/memories/batch", BatchAdded, body=body, headers=headers, repeatable=True)


def event(event_id: uuid.UUID | str) -> Call[AddEvent]:
    return Call("GET", f"/events/{id_segment('event_id', event_id)}", AddEvent, repeatable=True)


def sync_inferences() -> Call[InferenceSync]:
    return Call("POST", "/inferences/sync", InferenceSync, repeatable=True)


def create_webhook(url: str, fields: Mapping[str, Any]) -> Call[NewWebhook]:
    return Call("POST", "/webhooks", NewWebhook, body=to_body(url=url, **fields))


def webhooks() -> Call[Webhooks]:
    return Call("GET", "/webhooks", Webhooks, repeatable=True)


def update_webhook(webhook_id: uuid.UUID | str, changes: Mapping[str, Any]) -> Call[Webhook]:
    return Call("PATCH", _hook(webhook_id), Webhook, body=to_body(**changes), repeatable=True)


def delete_webhook(webhook_id: uuid.UUID | str) -> Call[None]:
    return Call("DELETE", _hook(webhook_id), None, repeatable=True, gone_is_done=True)


def webhook_deliveries(webhook_id: uuid.UUID | str, state: str | None, cursor: str | None) -> Call[WebhookDeliveries]:
    query = {name: value for name, value in (("state", state), ("cursor", cursor)) if value is not None}
    return Call("GET", _hook(webhook_id, "/deliveries"), WebhookDeliveries, query=query, repeatable=True)


def replay_webhook(
    webhook_id: uuid.UUID | str, event_id: int | None, since: datetime | None, after: int | None = None
) -> Call[_Replayed]:
    body = to_body(event_id=event_id, since=since, after_event_id=after)
    return Call("POST", _hook(webhook_id, "/replay"), _Replayed, body=body)


def changes(since: str | None, limit: int | None, scope: Mapping[str, str]) -> Call[ChangePage]:
    query = dict(scope)
    if since is not None:
        query["since"] = since
    if limit is not None:
        query["limit"] = str(limit)
    return Call("GET", "/changes", ChangePage, query=query, repeatable=True)


class EventMethods(Sending):
    """The blocking client's methods for what happens after an add."""

    def submit(self, request: Mapping[str, Any], *, idempotency_key: str | None = None) -> AddEvent:
        """Add without waiting for the language model. ``request`` has the fields of ``POST /memories``."""
        return self._send(submit(request, idempotency_key))

    def add_batch(self, requests: Sequence[Mapping[str, Any]], *, idempotency_key: str | None = None) -> BatchAdded:
        """Add what many requests say, all or nothing, without waiting for the language model."""
        return self._send(add_batch(requests, idempotency_key))

    def event(self, event_id: uuid.UUID | str) -> AddEvent:
        """What has become of an add that was not waited for."""
        return self._send(event(event_id))

    def sync_inferences(self) -> InferenceSync:
        """Have the language model asked again about what it could not read."""
        return self._send(sync_inferences())

    def create_webhook(self, url: str, **fields: Any) -> NewWebhook:
        """Have a URL told of changes; needs an admin key. ``fields`` are those of ``POST /webhooks``. Never retried."""
        return self._send(create_webhook(url, fields))

    def webhooks(self) -> Sequence[Webhook]:
        """The project's webhooks; needs an admin key."""
        return self._send(webhooks()).results

    def update_webhook(self, webhook_id: uuid.UUID | str, **changes: Any) -> Webhook:
        """Change fields of a webhook; needs an admin key."""
        return self._send(update_webhook(webhook_id, changes))

    def delete_webhook(self, webhook_id: uuid.UUID | str) -> None:
        """End a webhook; needs an admin key."""
        return self._send(delete_webhook(webhook_id))

    def webhook_deliveries(
        self, webhook_id: uuid.UUID | str, *, state: str | None = None, cursor: str | None = None
    ) -> WebhookDeliveries:
        """What a webhook was told, newest first; needs an admin key."""
        return self._send(webhook_deliveries(webhook_id, state, cursor))

    def replay_webhook(
        self, webhook_id: uuid.UUID | str, *, event_id: int | None = None, since: datetime | None = None
    ) -> int:
        """Deliver anew what is parked, one event, or all since a time; how much. Needs an admin key."""
        part = self._send(replay_webhook(webhook_id, event_id, since))
        queued = part.queued
        while part.go_on_after is not None:
            part = self._send(replay_webhook(webhook_id, None, since, part.go_on_after))
            queued += part.queued
        return queued

    def changes(self, since: str | None = None, *, limit: int | None = None, **scope: str) -> ChangePage:
        """What happened after a position (``earliest``: all that is kept; default: an empty page to begin from)."""
        return self._send(changes(since, limit, scope))


class AsyncEventMethods(AsyncSending):
    """The asynchronous client's methods for what happens after an add."""

    async def submit(self, request: Mapping[str, Any], *, idempotency_key: str | None = None) -> AddEvent:
        """Add without waiting for the language model. ``request`` has the fields of ``POST /memories``."""
        return await self._send(submit(request, idempotency_key))

    async def add_batch(
        self, requests: Sequence[Mapping[str, Any]], *, idempotency_key: str | None = None
    ) -> BatchAdded:
        """Add what many requests say, all or nothing, without waiting for the language model."""
        return await self._send(add_batch(requests, idempotency_key))

    async def event(self, event_id: uuid.UUID | str) -> AddEvent:
        """What has become of an add that was not waited for."""
        return await self._send(event(event_id))

    async def sync_inferences(self) -> InferenceSync:
        """Have the language model asked again about what it could not read."""
        return await self._send(sync_inferences())

    async def create_webhook(self, url: str, **fields: Any) -> NewWebhook:
        """Have a URL told of changes; needs an admin key. ``fields`` are those of ``POST /webhooks``. Never retried."""
        return await self._send(create_webhook(url, fields))

    async def webhooks(self) -> Sequence[Webhook]:
        """The project's webhooks; needs an admin key."""
        return (await self._send(webhooks())).results

    async def update_webhook(self, webhook_id: uuid.UUID | str, **changes: Any) -> Webhook:
        """Change fields of a webhook; needs an admin key."""
        return await self._send(update_webhook(webhook_id, changes))

    async def delete_webhook(self, webhook_id: uuid.UUID | str) -> None:
        """End a webhook; needs an admin key."""
        return await self._send(delete_webhook(webhook_id))

    async def webhook_deliveries(
        self, webhook_id: uuid.UUID | str, *, state: str | None = None, cursor: str | None = None
    ) -> WebhookDeliveries:
        """What a webhook was told, newest first; needs an admin key."""
        return await self._send(webhook_deliveries(webhook_id, state, cursor))

    async def replay_webhook(
        self, webhook_id: uuid.UUID | str, *, event_id: int | None = None, since: datetime | None = None
    ) -> int:
        """Deliver anew what is parked, one event, or all since a time; how much. Needs an admin key."""
        part = await self._send(replay_webhook(webhook_id, event_id, since))
        queued = part.queued
        while part.go_on_after is not None:
            part = await self._send(replay_webhook(webhook_id, None, since, part.go_on_after))
            queued += part.queued
        return queued

    async def changes(self, since: str | None = None, *, limit: int | None = None, **scope: str) -> ChangePage:
        """What happened after a position (``earliest``: all that is kept; default: an empty page to begin from)."""
        return await self._send(changes(since, limit, scope))
