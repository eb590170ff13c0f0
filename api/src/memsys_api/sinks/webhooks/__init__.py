"""Webhooks: signed calls to whoever a project's admin has registered."""

from __future__ import annotations

from dataclasses import dataclass

from memsys_api.settings import Settings
from memsys_api.settings.events import split_keys
from memsys_api.sinks.webhooks.dispatcher import WebhookDispatcher
from memsys_api.sinks.webhooks.sealing import Sealer
from memsys_api.sinks.webhooks.sender import Resolver, Sender, check
from memsys_api.store.database import Database


@dataclass(frozen=True)
class Webhooks:
    """What registering and calling webhooks takes."""

    dispatcher: WebhookDispatcher
    sealer: Sealer
    settings: Settings
    resolver: Resolver

    async def check(self, url: str) -> None:
        """Whether a webhook may be called there. Raises ``Blocked``, or ``OSError`` for an unknown name."""
        await check(url, self.settings.webhook_allowed_networks, self.resolver)


def create(settings: Settings, database: Database, resolver: Resolver) -> Webhooks | None:
    """The parts, not started; ``None`` where webhooks are switched off."""
    if not settings.webhooks_enabled:
        return None
    timeout = settings.webhook_timeout_seconds
    sender = Sender(settings.webhook_allowed_networks, resolver, timeout=timeout)
    sealer = Sealer(split_keys(settings.webhook_secret_keys))
    dispatcher = WebhookDispatcher(
        database, sender, sealer, timeout=timeout, retry_base=settings.webhook_retry_base_seconds
    )
    return Webhooks(dispatcher, sealer, settings, resolver)
