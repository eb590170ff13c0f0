"""Gives exports their shape, one after the other, by the language model.

Any number of replicas may run one each: an export is held by a lease, and the transaction that keeps its result takes
it out of the queue. Dying at any point loses nothing: the lease ends and the export is claimed again.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

from memsys_api import acting, background, filters
from memsys_api.access.budgets import Budgets, OverBudget
from memsys_api.causes import cause
from memsys_api.flows.inferring import Overtaken
from memsys_api.inference import InferenceError, InferenceRejected, InferenceUnavailable, Inferrer
from memsys_api.model import Memory, Scope
from memsys_api.shaping.flow import MOST_MEMORIES
from memsys_api.shaping.schema import Shape
from memsys_api.store import reads, shaped_exports, versions
from memsys_api.store.database import Database, DatabaseUnavailable, StatementTimeout
from memsys_api.store.filters import conditions
from memsys_api.store.shaped_exports import Asked, Claim

log = logging.getLogger(__name__)

_ATTEMPTS = 3
"""Of answers that are not of the shape; in each the model is corrected once. A model that is away costs none."""
_POLL_SECONDS = 1.0
_AWAY = timedelta(seconds=5)
_LONGEST_AWAY = timedelta(seconds=30)
_SETTINGS = timedelta(seconds=60)
_LEASE_MARGIN = timedelta(seconds=60)


class _Hopeless(Exception):
    """The export cannot be made; the message says why, and may be shown."""


class Shaper:
    """Works off the queue of exports."""

    def __init__(
        self,
        database: Database,
        inferrer: Inferrer,
        budgets: Budgets,
        *,
        timeout_seconds: float,
        retry_base: float = 1.0,
    ) -> None:
        self._database = database
        self._inferrer = inferrer
        self._budgets = budgets
        self._lease = timedelta(seconds=timeout_seconds) + _LEASE_MARGIN
        self._retry_base = retry_base
        self._due = asyncio.Event()

    def wake(self) -> None:
        """Something is due."""
        self._due.set()

    async def keep(self) -> None:
        """Shape what is due, for ever; to be cancelled."""
        while True:
            try:
                self._due.clear()  # before looking, so that what comes meanwhile is not missed
                if left_alone := self._inferrer.state().retry_after:
                    await asyncio.sleep(min(left_alone, _POLL_SECONDS))
                elif not await self.step():
                    await background.wait(self._due, _POLL_SECONDS)
                continue
            except (DatabaseUnavailable, StatementTimeout):
                log.debug("exports not looked at: database away")
            except Exception:
                log.exception("shaping failed")
            await asyncio.sleep(_POLL_SECONDS)

    async def step(self) -> bool:
        """Shape the export that is due for longest; ``False``: none is."""
        claim = await shaped_exports.claim(self._database, uuid4(), self._lease)
        if claim is None:
            return False
        if claim.attempts > _ATTEMPTS:  # whoever made the last one died over it, or was too slow to hold its lease
            await self._give_up(claim, f"{_ATTEMPTS} attempts were begun and the last of them never came to an end")
            return True
        try:
            await self._shape(claim)
        except asyncio.CancelledError:
            with suppress(DatabaseUnavailable, StatementTimeout):
                await self._put_off(claim, timedelta())
            raise
        except Overtaken:
            await self._put_off(claim, timedelta())
        except OverBudget as error:
            await self._put_off(claim, timedelta(seconds=error.retry_after or 0), str(error))
        except InferenceUnavailable as error:
            wait = _AWAY if error.retry_after is None else timedelta(seconds=max(error.retry_after, 0.05))
            await self._put_off(claim, min(wait, _LONGEST_AWAY), str(error))
        except (DatabaseUnavailable, StatementTimeout):
            with suppress(DatabaseUnavailable, StatementTimeout):
                await self._put_off(claim, _AWAY)
        except InferenceRejected as error:
            if error.subject == "settings":
                await self._put_off(claim, _SETTINGS, str(error))
            else:
                await self._give_up(claim, str(error))
        except _Hopeless as error:
            await self._give_up(claim, str(error))
        except Exception as error:  # answers of another shape, and what nobody thought of
            if claim.attempts < _ATTEMPTS:
                wait = timedelta(seconds=self._retry_base * 2 ** (claim.attempts - 1))
                await self._put_off(claim, wait, "the language model's answers were of another shape", counts=True)
            else:
                await self._give_up(claim, str(error) if isinstance(error, InferenceError) else cause(error))
        return True

    async def _shape(self, claim: Claim) -> None:
        async with self._database.transaction(claim.project) as conn:
            asked = await shaped_exports.read(conn, claim)
            if asked is None:
                await shaped_exports.finish(conn, claim)
                return
        memories = await self._memories(asked)
        await self._budgets.check(claim.project)
        schema = asked.request["schema"]
        async with self._budgets.counting(claim.project) as spent:
            result = await self._inferrer.shape(
                memories, schema, Shape(schema).problems, spent, instructions=asked.request["instructions"]
            )
        ids = [memory.id for memory in memories]
        with acting.on_behalf_of(asked.actor):
            async with self._database.transaction(claim.project) as conn:
                if await versions.lock(conn, Scope(claim.project), ids) < len(ids):
                    raise Overtaken  # an erasure went by: what was made may speak of what it took
                await shaped_exports.finish(conn, claim, memory_ids=ids, result=result)

    async def _memories(self, asked: Asked) -> list[Memory]:
        """What the model is shown, oldest first."""
        wanted = filters.parse(asked.request["filters"])
        memories, more = await reads.page(
            self._database, asked.scope, limit=MOST_MEMORIES, before=None, filters=conditions(wanted.rest)
        )
        if not memories:
            raise _Hopeless("none of its memories is left")
        if more is not None:
            raise _Hopeless(f"its filter lets more than {MOST_MEMORIES} memories through by now")
        return memories[::-1]

    async def _give_up(self, claim: Claim, reason: str) -> None:
        log.warning("export failed", extra={"project": claim.project, "export": str(claim.id)})
        async with self._database.transaction(claim.project) as conn:
            await shaped_exports.finish(conn, claim, error=reason)

    async def _put_off(self, claim: Claim, wait: timedelta, reason: str | None = None, *, counts: bool = False) -> None:
        async with self._database.transaction(claim.project) as conn:
            await shaped_exports.put_off(conn, claim, wait, reason, counts=counts)
