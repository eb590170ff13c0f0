"""Webhooks: register, list, change, delete; what they were told, and telling them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from memsys_api import problems, schemas
from memsys_api.assembling import Service
from memsys_api.model import Scope, WebhookDeliveryState
from memsys_api.problems import LIMIT_REACHED, NOT_FOUND, NOT_SUPPORTED, ProblemError, invalid
from memsys_api.routes.common import Json, ScopedAdmin, Serving, may_answer, read_cursor, write_cursor
from memsys_api.schemas import webhooks as wire
from memsys_api.sinks.webhooks import Webhooks, signing
from memsys_api.sinks.webhooks.sender import Blocked
from memsys_api.store import webhook_deliveries, webhook_replays, webhooks
from memsys_api.store.webhooks import Webhook

router = APIRouter(tags=["webhooks"])

MOST = 50
"""Webhooks of one project at most."""
_ABSENT = may_answer(problems.NOT_FOUND, problems.NOT_SUPPORTED)


@router.post(
    "/webhooks",
    response_model=wire.NewWebhook,
    status_code=201,
    responses=may_answer(problems.LIMIT_REACHED, problems.NOT_SUPPORTED),
)
async def create(serving: Serving, access: ScopedAdmin, request: wire.NewWebhookRequest) -> Response:
    """Have a URL told of changes. Its signing secret is shown this once.

    Each call is a POST of `{type, timestamp, data}`, signed as Standard Webhooks asks: headers `webhook-id`,
    `webhook-timestamp` and `webhook-signature`. Any answer but 2xx within the time-out is tried again, six times in
    63 seconds; then the event is parked. An event may come more than once, under the same `webhook-id`.
    """
    parts = _parts(serving)
    scope = access.scope(request.user_id, request.agent_id, request.app_id, request.run_id)
    await serving.gate.refuse(access.project, [("description", request.description)])
    await _check(parts, request.url)
    secret = request.secret or signing.generate()
    values = {
        "url": request.url,
        "description": request.description,
        "events": sorted(set(request.events)),
        "include": request.include,
        "secret": parts.sealer.seal(secret),
        "active": request.active,
    }
    webhook = await webhooks.insert(serving.database, uuid4(), scope, values, MOST)
    if webhook is None:
        raise ProblemError(LIMIT_REACHED, f"the project has {MOST} webhooks already; delete one first")
    return Json(_out(webhook) | {"secret": secret}, status_code=201)


@router.get("/webhooks", response_model=wire.Webhooks, responses=may_answer(problems.NOT_SUPPORTED))
async def page(serving: Serving, access: ScopedAdmin) -> Response:
    """The project's webhooks, oldest first."""
    _parts(serving)
    return Json({"results": [_out(w) for w in await webhooks.page(serving.database, access.scope())]})


@router.get("/webhooks/{webhook_id}", response_model=wire.WebhookOut, responses=_ABSENT)
async def get(serving: Serving, access: ScopedAdmin, webhook_id: UUID) -> Response:
    """One webhook."""
    return Json(_out(await _found(serving, access.scope(), webhook_id)))


@router.patch("/webhooks/{webhook_id}", response_model=wire.WebhookOut, responses=_ABSENT)
async def update(serving: Serving, access: ScopedAdmin, webhook_id: UUID, request: wire.WebhookChange) -> Response:
    """Change a webhook."""
    parts = _parts(serving)
    changes = request.model_dump(exclude_none=True)
    if request.description is not None:
        await serving.gate.refuse(access.project, [("description", request.description)])
    if request.url is not None:
        await _check(parts, request.url)
    if request.secret is not None:
        changes["secret"] = parts.sealer.seal(request.secret)
    webhook = await webhooks.update(serving.database, access.scope(), webhook_id, changes)
    if webhook is None:
        raise _absent()
    parts.dispatcher.returned()
    return Json(_out(webhook))


@router.delete("/webhooks/{webhook_id}", response_model=schemas.Deleted, responses=_ABSENT)
async def delete(serving: Serving, access: ScopedAdmin, webhook_id: UUID) -> Response:
    """End a webhook, with all that it was still to be told."""
    _parts(serving)
    if not await webhooks.delete(serving.database, access.scope(), webhook_id):
        raise _absent()
    return Json({"message": "Webhook deleted.", "deleted": 1})


class DeliveriesQuery(schemas.Body):
    """Which deliveries to list."""

    state: WebhookDeliveryState | None = Field(None, description="Only those in this state.")
    limit: int = Field(100, ge=1, le=schemas.MAX_RESULTS, description="How many at most.")
    cursor: str | None = Field(None, max_length=64, description="`next_cursor` of the page before.")


@router.get("/webhooks/{webhook_id}/deliveries", response_model=wire.Deliveries, responses=_ABSENT)
async def deliveries(
    serving: Serving, access: ScopedAdmin, webhook_id: UUID, query: Annotated[DeliveriesQuery, Query()]
) -> Response:
    """What the webhook was told in the last seven days, and what it still is to be told."""
    webhook = await _found(serving, access.scope(), webhook_id)
    found, following = await webhook_deliveries.page(
        serving.database,
        access.project,
        webhook.id,
        state=query.state,
        before=read_cursor(query.cursor),
        limit=query.limit,
    )
    return Json({"results": _plain(found), "next_cursor": write_cursor(following)})


@router.post("/webhooks/{webhook_id}/replay", response_model=wire.Replayed, responses=_ABSENT)
async def replay(serving: Serving, access: ScopedAdmin, webhook_id: UUID, request: wire.ReplayRequest) -> Response:
    """Deliver events anew, with all their attempts: the parked ones, one, or all since a time.

    Many are queued a batch at a time, for some seconds. Where `go_on_after` is not null, more is left to be queued:
    repeat the request with that as `after_event_id`.
    """
    webhook = await _found(serving, access.scope(), webhook_id)
    if request.event_id is not None:
        queued = await webhook_replays.replay_one(serving.database, access.project, webhook.id, request.event_id)
        if not queued:
            raise ProblemError(NOT_FOUND, "there is no such event for this webhook, or it is under way")
        done = webhook_replays.Replay(queued, None)
    else:
        done = await webhook_replays.replay(
            serving.database, access.project, webhook.id, since=request.since, after=request.after_event_id or 0
        )
    _parts(serving).dispatcher.wake()
    return Json({"queued": done.queued, "go_on_after": done.go_on_after})


def _parts(serving: Service) -> Webhooks:
    if serving.webhooks is None:
        raise ProblemError(NOT_SUPPORTED, "webhooks are switched off on this server (WEBHOOKS_ENABLED)")
    return serving.webhooks


async def _check(parts: Webhooks, url: str) -> None:
    try:
        await parts.check(url)
    except Blocked as error:
        raise invalid("url", str(error)) from error
    except OSError as error:
        raise invalid("url", f"the host cannot be resolved: {error.strerror or error}") from error


async def _found(serving: Service, scope: Scope, webhook_id: UUID) -> Webhook:
    _parts(serving)
    webhook = await webhooks.get(serving.database, scope, webhook_id)
    if webhook is None:
        raise _absent()
    return webhook


def _absent() -> ProblemError:
    return ProblemError(NOT_FOUND, "there is no such webhook")


def _out(webhook: Webhook) -> dict[str, Any]:
    scope = webhook.scope
    return {
        "id": webhook.id,
        "project": scope.project,
        "url": webhook.url,
        "description": webhook.description,
        "events": webhook.events,
        "include": webhook.include,
        "user_id": scope.user_id,
        "agent_id": scope.agent_id,
        "app_id": scope.app_id,
        "run_id": scope.run_id,
        "active": webhook.active,
        "created_at": webhook.created_at,
        "updated_at": webhook.updated_at,
    }


def _plain(found: Sequence[webhook_deliveries.Delivery]) -> list[dict[str, Any]]:
    return [{field: getattr(delivery, field) for field in wire.DeliveryOut.model_fields} for delivery in found]
