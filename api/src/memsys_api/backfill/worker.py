"""Gives the language model what came while it was away, once it answers again.

Any number of replicas may run one each: a request is held by a lease, and the transaction that carries it out takes it
out of the queue, so that it is carried out once. Dying at any point loses nothing: the lease ends and the request is
claimed again, unless that was its last attempt. Until then, and for good where the model cannot read it, the messages
stay as they were said.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid4

from memsys_api import acting, background, metrics
from memsys_api.access.budgets import OverBudget
from memsys_api.causes import cause
from memsys_api.flows.inferring import Conversation, Decided, Inferring, Overtaken, Suspect, from_json
from memsys_api.inference import InferenceError, InferenceRejected, InferenceUnavailable, Inferrer, Message, State
from memsys_api.model import Scope
from memsys_api.ports import EmbedderError
from memsys_api.quarantine.gate import refused
from memsys_api.sinks.attempts import ATTEMPTS, wait_after
from memsys_api.store import add_events, chores, facts, inferences
from memsys_api.store.database import Database, DatabaseUnavailable, StatementTimeout
from memsys_api.store.inferences import Claim
from memsys_api.store.outbox import Outbox

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_STOP_SECONDS = 5.0
_AWAY = timedelta(seconds=5)
_LONGEST_AWAY = timedelta(seconds=30)  # the breaker keeps calls from a dead provider anyway
_SETTINGS = timedelta(seconds=60)
_LEASE_MARGIN = timedelta(seconds=60)
_ERROR_LENGTH = 500
_NEVER_ENDED = (
    f"{ATTEMPTS} attempts were begun and the last of them never came to an end: see why the API stopped or took so "
    "long, then ask again with POST /inferences/sync"
)


class Backfill:
    """Works off the queue of requests that wait for the language model."""

    def __init__(
        self,
        database: Database,
        inferrer: Inferrer,
        inferring: Inferring,
        outbox: Outbox,
        *,
        timeout_seconds: float,
        retry_base: float = 1.0,
        workers: int = 2,
    ) -> None:
        self._database = database
        self._inferrer = inferrer
        self._inferring = inferring
        self._outbox = outbox
        self._lease = timedelta(seconds=timeout_seconds) + _LEASE_MARGIN  # longer than an inference can take
        self._retry_base = retry_base
        self._workers = workers
        self._due = asyncio.Event()
        self._tasks = background.Tasks()
        self._stopping = self._tasks.stopping

    def state(self) -> State:
        """How the language model is, without asking it."""
        return self._inferrer.state()

    def wake(self) -> None:
        """Something is due."""
        self._due.set()

    def start(self) -> None:
        """Begin to work in the background."""
        self._tasks.start(self._watch(), "backfill-watch")
        for n in range(self._workers):
            self._tasks.start(self._work(), f"backfill-{n}")

    async def stop(self) -> None:
        """Stop after the request at hand, or without it when it takes long: it is claimed again when its lease ends."""
        self._due.set()
        await self._tasks.end(_STOP_SECONDS)

    async def step(self) -> bool:
        """Infer what is due for longest; ``False``: nothing is."""
        claim = await inferences.claim(self._database, uuid4(), self._lease)
        if claim is None:
            return False
        if claim.attempts > ATTEMPTS:  # whoever made the last one died over it, or was too slow to hold its lease
            await self._put_off(claim, None, InferenceError(_NEVER_ENDED), counts=False)
            return True
        try:
            await self._infer(claim)
        except asyncio.CancelledError:
            with suppress(DatabaseUnavailable, StatementTimeout):
                await self._put_off(claim, timedelta(), counts=False)
            raise
        except Overtaken:
            await self._put_off(claim, timedelta(), counts=False)
        except OverBudget as error:  # raising the budget wakes it earlier
            await self._put_off(claim, timedelta(seconds=error.retry_after or 0), error, counts=False)
        except InferenceUnavailable as error:
            wait = _AWAY if error.retry_after is None else timedelta(seconds=max(error.retry_after, 0.05))
            await self._put_off(claim, min(wait, _LONGEST_AWAY), error, counts=False)
        except (EmbedderError, DatabaseUnavailable, StatementTimeout) as error:
            await self._put_off(claim, _AWAY, error, counts=False)
        except InferenceRejected as error:
            if error.subject == "settings":
                await self._put_off(claim, _SETTINGS, error, counts=False)
            else:
                await self._put_off(claim, None, error)
        except Exception as error:  # unreadable answers, and what nobody thought of
            await self._put_off(claim, wait_after(claim.attempts, self._retry_base), error)
        return True

    async def _infer(self, claim: Claim) -> None:
        async with self._database.transaction(claim.project) as conn:
            stored = await inferences.read(conn, claim)
            waiting = await facts.waiting(conn, claim.project, stored[0]) if stored else []
            if stored is None or not waiting:
                if await inferences.finish(conn, claim):
                    await add_events.finish(conn, claim.project, claim.id, [])
                return
        turns = [Message(message.role or "user", message.text, message.speaker) for message in waiting]
        scope, conversation = from_json(stored[1], turns)
        replaced = [message.id for message in waiting]
        with acting.on_behalf_of(conversation.actor):
            try:
                decided = await self._inferring.decide(scope, conversation)
                done = await self._carry_out(claim, scope, decided, replaced)
            except Suspect as suspect:
                done = await self._keep_back(claim, scope, conversation, replaced, suspect)
        if not done:
            log.warning("inference dropped: its lease had ended", extra={"project": claim.project})
            return
        self._outbox.wake()
        metrics.BACKFILLED.inc()

    async def _carry_out(self, claim: Claim, scope: Scope, decided: Decided, replaced: Sequence[UUID]) -> bool:
        """Write what was decided; ``False``: somebody else holds the request now, or it is gone."""
        async with self._database.transaction(claim.project) as conn:
            if not await inferences.finish(conn, claim):
                return False
            written = await self._inferring.carry_out(conn, scope, decided, replaced)
            await self._outbox.enqueue(conn, claim.project, written.changed)
            await add_events.finish(conn, claim.project, claim.id, written.outcomes)
        return True

    async def _keep_back(
        self, claim: Claim, scope: Scope, conversation: Conversation, replaced: Sequence[UUID], suspect: Suspect
    ) -> bool:
        """Hold or refuse what was said, by the project's policy; ``False`` as for :meth:`_carry_out`."""
        async with self._database.transaction(claim.project) as conn:
            if not await inferences.finish(conn, claim):
                return False
            review, buried = await self._inferring.keep_back(conn, scope, conversation, replaced, suspect)
            await self._outbox.enqueue(conn, claim.project, buried)
            error = None if review else refused(suspect.findings).detail
            await add_events.keep_back(conn, claim.project, claim.id, review, error)
        return True

    async def _put_off(
        self, claim: Claim, wait: timedelta | None, error: Exception | None = None, *, counts: bool = True
    ) -> None:
        """Give a claim back; parked, its messages stay as they were said."""
        reason = None if error is None else _said(error)[:_ERROR_LENGTH]
        if reason:
            log.warning("inference put off" if wait is not None else "inference parked", extra={"reason": reason})
        async with self._database.transaction(claim.project) as conn:
            held = await inferences.put_off(conn, claim, wait, reason, counts=counts)
            stored = await inferences.read(conn, claim) if held and wait is None else None
            if stored:
                await facts.give_up(conn, claim.project, stored[0], reason or "")
                await inferences.settle(conn, claim.project, stored[0])  # changed while it was tried the last time

    async def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self._due.clear()  # before looking, so that what comes meanwhile is not missed
                if left_alone := self._inferrer.state().retry_after:
                    await background.wait(self._stopping, min(left_alone, _POLL_SECONDS))
                elif not await self.step() and not self._stopping.is_set():
                    await background.wait(self._due, _POLL_SECONDS)
            except (DatabaseUnavailable, StatementTimeout):
                await background.wait(self._stopping, _POLL_SECONDS)
            except Exception:
                log.exception("back-fill failed")
                await background.wait(self._stopping, _POLL_SECONDS)

    async def _watch(self) -> None:
        await chores.repeat(
            "queue of inferences", self._look, _POLL_SECONDS, until=self._stopping, put_off=logging.DEBUG
        )

    async def _look(self) -> None:
        metrics.LLM_AVAILABLE.set(self.state().available)
        status = await inferences.status(self._database)
        metrics.INFERENCES_PENDING.set(status.pending)
        metrics.INFERENCES_PARKED.set(status.parked)
        metrics.INFERENCES_LAG.set(status.lag_seconds)


def _said(error: Exception) -> str:
    """The words of the rooms that know what they may repeat; of any other error its type and codes."""
    own = isinstance(error, InferenceError | EmbedderError | DatabaseUnavailable | StatementTimeout)
    return (own and str(error)) or cause(error)
