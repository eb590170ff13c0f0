"""Calls webhooks from their queue: claims deliveries, posts them, tries again, parks.

Any number of replicas may run one each: a delivery is held by a lease, and of one memory only the oldest that waits can
be claimed, so that each webhook hears of a memory's changes in their order. Dying at any point loses nothing: the
lease ends and the delivery is claimed again; what was posted but not recorded is posted again under the same id. What
was left behind more than once is tried one at a time, and parked when its last attempt came to no end either.
A webhook that does not answer is asked by one call at a time, so that it holds nobody else up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid4

from memsys_api import background
from memsys_api.causes import cause, in_one_line
from memsys_api.metrics import (
    WEBHOOK_DELIVERIES,
    WEBHOOK_LAG,
    WEBHOOK_PARKED,
    WEBHOOK_PENDING,
    WEBHOOK_SECONDS,
)
from memsys_api.model import Scope
from memsys_api.sinks.attempts import ATTEMPTS, wait_after
from memsys_api.sinks.webhooks import signing
from memsys_api.sinks.webhooks.message import Message, body, message_id
from memsys_api.sinks.webhooks.sealing import Sealer, Unsealable
from memsys_api.sinks.webhooks.sender import Answer, Sender
from memsys_api.store import chores, webhook_deliveries, webhooks
from memsys_api.store.database import Database, DatabaseUnavailable, StatementTimeout
from memsys_api.store.webhook_deliveries import Claim
from memsys_api.store.webhooks import Webhook

log = logging.getLogger(__name__)

_AT_ONCE = 128
_EACH = 4
_POLL_SECONDS = 1.0
_LOOK_SECONDS = 5.0
_STOP_SECONDS = 5.0
_LEASE_MARGIN = 30.0  # beside the call there are a few statements
_ERROR_LENGTH = 500
_NEVER_ENDED = (
    f"{ATTEMPTS} attempts were begun and the last of them never came to an end: see why the API stopped, then deliver "
    "it again with POST /webhooks/{id}/replay"
)
_USER_AGENT = "memsys-webhooks"


class WebhookDispatcher:
    """Tells webhooks what they asked to be told."""

    def __init__(
        self, database: Database, sender: Sender, sealer: Sealer, *, timeout: float, retry_base: float = 1.0
    ) -> None:
        self._database = database
        self._sender = sender
        self._sealer = sealer
        self._lease = timedelta(seconds=timeout + _LEASE_MARGIN)
        self._retry_base = retry_base
        self._due = asyncio.Event()
        self._returned = asyncio.Event()
        self._loops = background.Tasks()
        self._stopping = self._loops.stopping
        self._calls: set[asyncio.Task[None]] = set()
        self._under_way: Counter[UUID] = Counter()
        self._away: set[UUID] = set()
        self._suspects = 0

    def wake(self) -> None:
        """Something is due."""
        self._due.set()

    def returned(self) -> None:
        """A webhook is there again, as its queue has noted: what it missed is to be made due."""
        self._returned.set()

    def start(self) -> None:
        """Begin to work in the background."""
        self._loops.start(self._work(), "webhooks")
        self._loops.start(self._catch_up(), "webhooks-returned")
        self._loops.start(self._watch(), "webhooks-watch")

    async def stop(self) -> None:
        """Stop after the calls under way, or without those that take long: they are due again at once."""
        self._due.set()
        self._returned.set()
        await self._loops.end(_STOP_SECONDS)
        await background.end(self._calls, _STOP_SECONDS)
        await self._sender.close()

    async def _work(self) -> None:
        while not self._stopping.is_set():
            self._due.clear()  # before looking, so that what comes meanwhile is not missed
            begun = False
            try:
                begun = await self._begin()
            except (DatabaseUnavailable, StatementTimeout):
                log.debug("webhooks not called: database away")
            except Exception:
                log.exception("webhooks failed")
            if not begun:
                await self._idle()

    async def _begin(self) -> bool:
        """Begin as many calls as there is room for; whether there was any to begin."""
        room = _AT_ONCE - len(self._calls)
        if room <= 0:
            return False
        lease = uuid4()
        busy = self._under_way.keys() | self._away
        free = {w: max(0, (1 if w in self._away else _EACH) - self._under_way[w]) for w in busy}
        claims = await webhook_deliveries.claim(
            self._database,
            lease,
            self._lease,
            limit=room,
            each=_EACH,
            free=free,
            most=ATTEMPTS,
            suspects=1 - self._suspects,
        )
        for claim in claims:
            self._suspects += claim.suspect
            self._under_way[claim.webhook_id] += 1
            task = asyncio.create_task(self._deliver(claim), name=f"webhook-{claim.webhook_id}")
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
        return bool(claims)

    async def _deliver(self, claim: Claim) -> None:
        try:
            await self._attempt(claim)
        except asyncio.CancelledError:
            with suppress(DatabaseUnavailable, StatementTimeout):
                await webhook_deliveries.release(self._database, claim)
            raise
        except (DatabaseUnavailable, StatementTimeout) as error:
            reason = in_one_line(error)
            log.warning("webhook delivery not recorded; it will be repeated", extra={"reason": reason})
        except Exception as error:
            log.exception("webhook delivery failed")
            with suppress(DatabaseUnavailable, StatementTimeout):
                await self._record(claim, Answer(None, cause(error)))
        finally:
            self._suspects -= claim.suspect
            self._under_way[claim.webhook_id] -= 1
            if not self._under_way[claim.webhook_id]:
                del self._under_way[claim.webhook_id]
            self.wake()

    async def _attempt(self, claim: Claim) -> None:
        if claim.spent:
            await self._record(claim, Answer(None, _NEVER_ENDED))
            return
        webhook = await webhooks.get(self._database, Scope(claim.project), claim.webhook_id)
        if webhook is None:
            return  # deleted, and its queue with it
        if not webhook.active:
            await webhook_deliveries.failed(self._database, claim, "paused", None, None, "the webhook is not active")
            return
        try:
            secret = self._sealer.open(webhook.secret)
        except Unsealable as error:
            await self._record(claim, Answer(None, str(error)))
            return
        content = body(await self._message(claim, webhook))
        signed = signing.headers(secret, message_id(webhook.id, claim.event_id), int(time.time()), content)
        with WEBHOOK_SECONDS.time():
            answer = await self._sender.post(
                webhook.url, content, {"Content-Type": "application/json", "User-Agent": _USER_AGENT, **signed}
            )
        await self._record(claim, answer)

    async def _message(self, claim: Claim, webhook: Webhook) -> Message:
        subject = await webhook_deliveries.subject(self._database, claim)
        return Message(
            webhook_id=webhook.id,
            event_id=claim.event_id,
            event=claim.event,
            occurred_at=claim.occurred_at,
            scope=subject.scope if subject else webhook.scope,
            memory_id=claim.memory_id,
            version=claim.version,
            text=subject.text if subject else None,
            with_text="memory" in webhook.include,
        )

    async def _record(self, claim: Claim, answer: Answer) -> None:
        if answer.error is None:
            self._away.discard(claim.webhook_id)
            if await webhook_deliveries.delivered(self._database, claim, answer.status):
                self.returned()
            WEBHOOK_DELIVERIES.labels("delivered").inc()
            return
        (self._away.add if answer.away else self._away.discard)(claim.webhook_id)
        cause: webhook_deliveries.Cause = "away" if answer.away else "refused"
        wait = wait_after(claim.attempts, self._retry_base)
        error = answer.error[:_ERROR_LENGTH]
        await webhook_deliveries.failed(self._database, claim, cause, wait, answer.status, error)
        WEBHOOK_DELIVERIES.labels(cause).inc()
        if wait is None:
            log.warning("webhook delivery parked", extra={"webhook": str(claim.webhook_id), "reason": error})
        else:
            asyncio.get_running_loop().call_later(wait.total_seconds(), self.wake)

    async def _catch_up(self) -> None:
        """Make due what webhooks missed that are there again, also what another replica left of that."""
        while not self._stopping.is_set():
            self._returned.clear()
            due: int | None = None
            try:
                due = await webhook_deliveries.catch_up(self._database)
            except (DatabaseUnavailable, StatementTimeout) as error:
                log.debug("missed deliveries not made due", extra={"reason": in_one_line(error)})
            except Exception:
                log.exception("missed deliveries not made due")
            if due is None:
                await background.wait(self._returned, _LOOK_SECONDS)
            elif due:
                self.wake()

    async def _watch(self) -> None:
        await chores.repeat("queue of webhooks", self._look, _LOOK_SECONDS, until=self._stopping, put_off=logging.DEBUG)

    async def _look(self) -> None:
        status = await webhook_deliveries.status(self._database)
        WEBHOOK_PENDING.set(status.pending)
        WEBHOOK_PARKED.set(status.parked)
        WEBHOOK_LAG.set(status.lag_seconds)

    async def _idle(self) -> None:
        """Until something is due; looks again after a while for what other replicas have left behind."""
        if not self._stopping.is_set():
            await background.wait(self._due, _POLL_SECONDS)
