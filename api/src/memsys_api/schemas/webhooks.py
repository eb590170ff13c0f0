"""Webhooks on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, model_validator

from memsys_api.model import ChangeEvent, WebhookDeliveryState
from memsys_api.schemas.fields import WHOLE, Body, Moment, Scoped, storable
from memsys_api.schemas.rules import both, given
from memsys_api.sinks.webhooks import signing

EVENT_NAMES: tuple[ChangeEvent, ...] = get_args(ChangeEvent)
Events = Annotated[list[ChangeEvent], Field(min_length=1, max_length=3, description="Which changes to tell of.")]
Include = Annotated[
    list[Literal["memory"]],
    Field(max_length=1, description="What to send beside ids: `memory` is the text. By default no text is sent."),
]


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        port_is_one = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError("is not a URL; give one such as https://example.com/memories") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_one:
        raise ValueError("must be an http or https URL such as https://example.com/memories")
    try:
        parts.hostname.encode("idna")
    except UnicodeError:
        raise ValueError("must name a host whose labels, between its dots, have 1 to 63 characters") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password; check the signature instead")
    if parts.fragment:
        raise ValueError("must not have a fragment")
    if any(not 0x20 < ord(character) < 0x7F for character in value):
        raise ValueError("must be ASCII without spaces; percent-encode the rest, and give the host in punycode")
    return value


def _secret(value: str) -> str:
    signing.key(value)
    return value


Url = Annotated[
    str, Field(min_length=1, max_length=2048, examples=["https://example.com/memories"]), AfterValidator(_url)
]
Secret = Annotated[
    str,
    Field(max_length=200, description="To sign with: whsec_ and 24 to 64 bytes in base64."),
    AfterValidator(_secret),
]
Description = Annotated[str, Field(max_length=1000), AfterValidator(storable)]


class NewWebhookRequest(Scoped):
    """A webhook to register. With ids, it is told of memories under these ids alone."""

    url: Url
    events: Events = Field(default_factory=lambda: list(EVENT_NAMES))
    include: Include = Field(default_factory=list)
    secret: Secret | None = Field(None, description="To sign with; by default one is made.")
    description: Description = ""
    active: StrictBool = True


class WebhookChange(Body):
    """What to change of a webhook; what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                *(given(field, "string") for field in ("url", "secret", "description")),
                *(given(field, "array") for field in ("events", "include")),
                given("active", "boolean"),
            ]
        }
    )

    url: Url | None = None
    events: Events | None = None
    include: Include | None = None
    secret: Secret | None = Field(None, description="Signs everything from now on.")
    description: Description | None = None
    active: StrictBool | None = Field(
        None,
        description="With false, nothing is sent, and what happens meanwhile is not kept for it: a replay `since` then "
        "tells of it. With true, what waited when it was switched off is sent.",
    )

    @model_validator(mode="after")
    def _something(self) -> WebhookChange:
        if not any(getattr(self, field) is not None for field in type(self).model_fields):
            raise ValueError("give at least one field to change")
        return self


class WebhookOut(BaseModel):
    """A webhook, without its secret."""

    id: UUID
    project: str
    url: str
    description: str
    events: list[ChangeEvent]
    include: list[Literal["memory"]]
    user_id: str | None
    agent_id: str | None
    app_id: str | None
    run_id: str | None
    active: bool
    created_at: datetime
    updated_at: datetime


class NewWebhook(WebhookOut):
    """A webhook that was just registered. `secret` is shown this once."""

    secret: str


class Webhooks(BaseModel):
    """The webhooks of a project."""

    results: list[WebhookOut]


class DeliveryOut(BaseModel):
    """One event as far as the webhook is concerned. parked: all seven attempts failed, or the webhook is not active."""

    event_id: int
    event: ChangeEvent
    memory_id: UUID
    version: int
    occurred_at: datetime
    state: WebhookDeliveryState
    attempts: int = Field(description="How many attempts were begun since it was queued or replayed.")
    due_at: datetime = Field(description="Not before this time it is tried (again).")
    status: int | None = Field(description="What the webhook last answered.")
    error: str | None
    delivered_at: datetime | None


class Deliveries(BaseModel):
    """Deliveries, newest first. `next_cursor` is null on the last page."""

    results: list[DeliveryOut]
    next_cursor: str | None


class ReplayRequest(Body):
    """What to deliver anew: one event, everything since a time, or (with neither) what is parked."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {"not": both(event_id="integer", since="string")},
                {"not": both(event_id="integer", after_event_id="integer")},
            ]
        }
    )

    event_id: Annotated[int, Field(strict=True, ge=1, lt=2**63), WHOLE] | None = None
    since: Moment | None = Field(None, description="Events of the last seven days can be delivered anew.")
    after_event_id: Annotated[int, Field(strict=True, ge=0, lt=2**63), WHOLE] | None = Field(
        None, description="Only events after this one: `go_on_after` of an answer that left some."
    )

    @model_validator(mode="after")
    def _one(self) -> ReplayRequest:
        if self.event_id is not None and self.since is not None:
            raise ValueError("give event_id or since, not both")
        if self.event_id is not None and self.after_event_id is not None:
            raise ValueError("give event_id or after_event_id, not both")
        return self


class Replayed(BaseModel):
    """How much is delivered anew."""

    queued: int
    go_on_after: int | None = Field(
        description="Not null: more is left to be queued; repeat the request with this as `after_event_id`."
    )
