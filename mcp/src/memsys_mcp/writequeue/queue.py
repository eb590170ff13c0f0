"""Keeps adds while the API is away, and sends them in order, once each, when it is back.

An entry is sent with the credentials of the caller who wrote it. A key is held in memory alone: after a restart its
entries wait until the same key calls again, which is recognised by a salted digest. For whoever came with an access
token the server's own key is used, within the scope that was verified when the entry was taken.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from pydantic_core import to_jsonable_python

import memsys
from memsys_mcp import remedies, views
from memsys_mcp.away import is_away
from memsys_mcp.binding import Bound
from memsys_mcp.caller import Caller
from memsys_mcp.delegating import delegate, on_behalf
from memsys_mcp.metrics import QueueMetrics
from memsys_mcp.writequeue.file import Entry, Place, QueueFile, QueueFull, QueueUnwritable

T = TypeVar("T")

ATTEMPTS = 7
"""Times that the service may fail at an entry before it is parked. Being away is no failure."""
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 900.0
"""Between two attempts at an entry that the service failed at: all of them take half an hour, as some faults do."""
LOOK_SECONDS = 60.0
"""Between two looks for entries that are past their time, while there is nothing else to do."""

logger = logging.getLogger(__name__)


class NotKept(Exception):
    """The write was not taken either; the text says why and what to do."""


class WriteQueue:
    """One per process. :meth:`run` has to run beside the server.

    Where several processes share the file, one of them at a time sends a caller's entries, from the first to the last.
    """

    def __init__(
        self,
        file: QueueFile,
        api: memsys.AsyncClient,
        metrics: QueueMetrics,
        *,
        knows: Callable[[str], bool],
        keep_seconds: float,
        service_key: str | None = None,
        only: Caller | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``knows`` tells whether the API has lately accepted a key: nobody else may fill the disk while it is away.

        Nothing stays for longer than ``keep_seconds``, sent or not. ``only`` is the one caller that there is, on stdio:
        what waits for its key, whoever queued it, waits for no call.
        """
        self._file = file
        self._api = api
        self._metrics = metrics
        self._knows = knows
        self._keep_seconds = keep_seconds
        self._service_key = service_key
        self._clock = clock
        self._keys: dict[str, str] = {}
        self._resume_at: dict[str, float] = {}
        self._ended_with: str | None = None
        if only is not None and only.key is not None:
            self._keys[self._owner(only)] = only.key
        self._keyless = set(file.owners()) - set(self._keys)
        # One thread: a call that is cancelled goes on in it to its end, and the next one begins after that.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write-queue")
        self._wake = asyncio.Event()

    async def keep(self, bound: Bound, request: Mapping[str, Any]) -> int:
        """Take an add; how many of the caller's now wait in its project. It is on disk when this returns.

        Raises :class:`NotKept`.
        """
        caller = bound.caller
        if caller.principal is not None:
            delegation = delegate(caller.principal, bound.project)
            if "write" not in delegation.rights:
                raise NotKept("It was not queued either: the access token does not grant the right to write.")
            address: dict[str, Any] = {"delegation": asdict(delegation)}
        else:
            if not self._knows(caller.key or ""):
                raise NotKept(
                    "It was not queued either: the key has not been seen to be good since the server started."
                )
            address = {"project": bound.project}
        place = self._place(bound)
        plain = to_jsonable_python(request)
        # Before it is on disk, for it is kept also when the caller does not wait for that any more.
        if caller.key is not None:
            self._keys[place.owner] = caller.key
        self._wake.set()
        try:
            await self._on_file(lambda file: file.put(place.owner, address, plain, bound.idempotency_key))
        except QueueFull:
            self._metrics.outcomes.labels("full").inc()
            raise NotKept("It was not queued either: the queue is full.") from None
        except QueueUnwritable as error:
            self._metrics.outcomes.labels("unwritable").inc()
            logger.error("a write could not be queued: %s", error)
            raise NotKept(f"It was not queued either: {error}.") from error
        self._metrics.outcomes.labels("queued").inc()
        await self._count()
        waiting, _ = await self._on_file(lambda file: file.counts(place))
        return waiting

    async def entries(self, bound: Bound, limit: int) -> list[Entry]:
        """The first of what the caller may read here: its own writes in the project of the request, for the same user.

        Those that are set aside come first. Raises :class:`memsys.Forbidden`, as the other two that read.
        """
        place = self._readable(bound)
        return await self._on_file(lambda file: file.first_in(place, limit))

    async def entry(self, bound: Bound, entry_id: int) -> Entry | None:
        """One of them, by its number."""
        place = self._readable(bound)
        return await self._on_file(lambda file: file.one_in(place, entry_id))

    async def counts(self, bound: Bound) -> tuple[int, int]:
        """How many of them wait, and how many are set aside."""
        place = self._readable(bound)
        return await self._on_file(lambda file: file.counts(place))

    def recognise(self, caller: Caller) -> None:
        """Take the key of a caller whose entries have waited for it since a restart."""
        if self._keyless and caller.key is not None and (owner := self._owner(caller)) in self._keyless:
            self._keyless.discard(owner)
            self._keys[owner] = caller.key
            self._wake.set()

    async def run(self) -> None:
        """Send what waits, again and again; returns when cancelled."""
        wait = FIRST_WAIT_SECONDS
        while True:
            self._wake.clear()
            away = True
            try:
                away = not await self.drain()
                await self._count()
            except Exception:  # a full disk, say: it may pass
                logger.exception("the write queue failed")
            wait = min(2 * wait, LONGEST_WAIT_SECONDS) if away else FIRST_WAIT_SECONDS
            if not away:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._wake.wait()
            await asyncio.sleep(wait)

    async def drain(self) -> bool:
        """Send everything that can be sent; whether nothing is left that a later attempt could send.

        Not beside :meth:`run`, which does it all the time.
        """
        if dropped := await self._on_file(lambda file: file.drop_older(self._keep_seconds)):
            self._metrics.outcomes.labels("expired").inc(dropped)
            logger.warning("queued writes dropped after their time", extra={"count": dropped})
        sent = True
        for owner in await self._owners():
            if self._resume_at.get(owner, 0.0) > self._clock():
                sent = False
                continue
            if not await self._on_file(partial(QueueFile.claim, owner=owner)):
                sent = False  # by another process, unless it ends
                continue
            wait = await self._send_all(owner)
            if wait is None:
                self._ended_with = owner
                return False
            if wait:  # the claim stays: another process would not know of the wait
                self._resume_at[owner] = self._clock() + wait
                sent = False
                continue
            self._resume_at.pop(owner, None)
            await self._on_file(partial(QueueFile.release, owner=owner))
        return sent

    async def close(self) -> None:
        """Close the file; what waits in it is found again."""
        await self._on_file(QueueFile.close)
        self._thread.shutdown(wait=False)

    async def _owners(self) -> list[str]:
        """Whose entries wait; last whoever the last drain ended with, lest one entry keep all others waiting."""
        owners = await self._on_file(QueueFile.owners)
        cut = owners.index(self._ended_with) + 1 if self._ended_with in owners else 0
        return owners[cut:] + owners[:cut]

    def _as_owner(self, entry: Entry) -> memsys.AsyncClient | None:
        """The API with the credentials of an entry; ``None`` where they are not known (any more)."""
        if (fields := entry.address.get("delegation")) is not None:
            if self._service_key is None:
                return None
            lists = {name: tuple(fields[name]) for name in ("projects", "rights")}
            return on_behalf(self._api, self._service_key, memsys.Delegation(**{**fields, **lists}))
        key = self._keys.get(entry.owner)
        return None if key is None else self._api.with_options(key=key, project=entry.address["project"])

    async def _send_all(self, owner: str) -> float | None:
        """Send an owner's entries as far as that is possible; what :meth:`_send` said of the last."""
        while (entry := await self._on_file(partial(QueueFile.next_of, owner=owner))) is not None:
            api = self._as_owner(entry)
            if api is None:
                break
            wait = await self._send(entry, api)
            if wait != 0:
                return wait
        return 0.0

    async def _send(self, entry: Entry, api: memsys.AsyncClient) -> float | None:
        """Send one entry; seconds that its owner has to wait before the next, ``None`` where the API is away."""
        try:
            accepted_at = datetime.fromtimestamp(entry.queued_at, UTC)
            answer = await api.add(**entry.request, idempotency_key=entry.idempotency_key, accepted_at=accepted_at)
        except memsys.RateLimited as error:  # its owner's limit, and nobody else's
            return error.retry_after or FIRST_WAIT_SECONDS
        except memsys.Erased:
            await self._on_file(lambda file: file.remove(entry.id))
            self._metrics.outcomes.labels("erased").inc()
        except memsys.MemsysError as error:
            if is_away(error):
                return None
            if isinstance(error, memsys.ServerError) and entry.attempts + 1 < ATTEMPTS:
                await self._on_file(lambda file: file.failed(entry.id))
                return float(min(4 ** (entry.attempts + 1), LONGEST_PAUSE_SECONDS))
            await self._park(entry, remedies.explain(error))
        else:
            if answer.held:  # its writer was told that it would be stored
                reason = views.add_text(views.AddAnswer(results=[], held=views.held(answer.held[0])))
                await self._park(entry, reason, "held")
            else:
                await self._on_file(lambda file: file.remove(entry.id))
                self._metrics.outcomes.labels("stored").inc()
        return 0.0

    async def _count(self) -> None:
        waiting, parked = await self._on_file(QueueFile.counts)
        self._metrics.items.labels("waiting").set(waiting)
        self._metrics.items.labels("parked").set(parked)

    async def _park(self, entry: Entry, reason: str, outcome: str = "parked") -> None:
        await self._on_file(lambda file: file.park(entry.id, reason))
        self._metrics.outcomes.labels(outcome).inc()
        logger.warning("a queued write is set aside", extra={"entry": entry.id, "outcome": outcome})

    def _readable(self, bound: Bound) -> Place:
        """What the caller may read. The API's walls are kept here, as it cannot be asked while it is away."""
        principal = bound.caller.principal
        if principal is not None and "read" not in delegate(principal, bound.project).rights:
            raise memsys.Forbidden(403, detail="the access token does not grant the right to read")
        return self._place(bound)

    def _place(self, bound: Bound) -> Place:
        """Where an entry of this request is kept, and looked for."""
        owner, principal = self._owner(bound.caller), bound.caller.principal
        if principal is None:
            return Place(owner, bound.project, None)
        delegation = delegate(principal, bound.project)
        return Place(owner, delegation.projects[0], delegation.user_id)

    def _owner(self, caller: Caller) -> str:
        """Stands for a caller on disk, where neither its key nor anything to guess it by has any business."""
        return hmac.digest(self._file.salt, caller.fingerprint.encode(), hashlib.sha256).hex()

    async def _on_file(self, call: Callable[[QueueFile], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, self._file)
