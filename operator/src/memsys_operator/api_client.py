"""The operator's calls to a system's own API: what the graph lacks, and driving it there."""

from __future__ import annotations

import dataclasses
import logging

import httpx

from memsys_operator.answers import refused, silent
from memsys_operator.sync import Drift, SyncReport, Walk, compares, confirmed, failed, read, read_drift

logger = logging.getLogger(__name__)

#: Driving a sync applies what is parked, record by record, before it answers.
_SYNC_TIMEOUT_SECONDS = 60.0
_STATUS_TIMEOUT_SECONDS = 5.0
#: A comparison reads both stores, by ranges of up to 500 memories; one look compares so many.
_RANGES = 40
_DRIFT_TIMEOUT_SECONDS = 120.0
#: How often one look compares and mends before it leaves the rest to the next: about 100 memories each time.
_MENDING_ROUNDS = 5
_BAD_REQUEST = 400
_NOT_FOUND = 404


class MemoryAPI:
    """Calls to the APIs of all systems over one connection pool."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        headers = {"User-Agent": "memsys-operator"}
        self._http = httpx.AsyncClient(headers=headers, trust_env=False, transport=transport)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def check_graph(
        self, url: str, admin_key: str, last: SyncReport | None, walk: Walk, *, now: int, interval: int
    ) -> SyncReport:
        """Ask ``/graph/status``; when records are parked and the graph answers, drive ``/graph/sync`` and ask again;
        when a comparison is due (see :func:`memsys_operator.sync.compares`), take the next step of ``walk``.

        What the look before (``last``) found to differ is applied again first. So a difference is reported before it is
        mended, and a process that ends between the two leaves nothing half done: the walk has not gone on.
        ``now`` is in seconds since the epoch, ``interval`` the seconds between the beginnings of two cycles.

        Never raises for an API that is away or refuses: the report's ``error`` says so.
        """
        headers = {"Authorization": f"Bearer {admin_key}"}
        try:
            report = await self._status(url, headers)
            if report.due:
                answer = await self._http.post(f"{url}/graph/sync", headers=headers, timeout=_SYNC_TIMEOUT_SECONDS)
                answer.raise_for_status()
                report = await self._status(url, headers)
        except httpx.HTTPStatusError as error:
            return failed(refused(error.response), walk)
        except httpx.HTTPError as error:
            return failed(silent(url, error), walk)
        except (ValueError, TypeError, AttributeError):
            return failed(f"the API answers {url}/graph/status with something else than a graph status", walk)
        report = dataclasses.replace(report, drift=last.drift if last is not None else None, walk=walk)
        if not compares(report, last, now=now, interval=interval):
            return report
        return await self._compare(url, headers, report, now, interval)

    async def _compare(
        self, url: str, headers: dict[str, str], report: SyncReport, now: int, interval: int
    ) -> SyncReport:
        """``report`` after the walk's next step; where it was, with the reason, when the API cannot compare now."""
        walk, found = report.walk.begun(now), report.drift
        stuck = 0
        try:
            if found is None or not found.samples:
                found = await self._drift(url, headers, walk)
                if found.samples:
                    return dataclasses.replace(report, drift=found, walk=walk)
            for _ in range(_MENDING_ROUNDS):
                if not found.samples:
                    break
                await self._mend(url, headers, found)
                before, found = found.samples, await self._drift(url, headers, walk)
                if found.samples == before:
                    stuck, found = found.count, dataclasses.replace(found, count=0, samples=())
        except httpx.HTTPStatusError as error:
            began_anew = dataclasses.replace(walk, cursor=None)
            at = began_anew if error.response.status_code == _BAD_REQUEST else report.walk
            return _uncompared(url, dataclasses.replace(report, walk=at), refused(error.response))
        except httpx.HTTPError as error:
            return _uncompared(url, report, silent(url, error))
        except (ValueError, TypeError, KeyError):
            return _uncompared(url, report, f"the API answers {url}/graph/drift with something else than a comparison")
        if not found.samples:
            walk, found = walk.stepped(found.cursor, stuck, now, interval), Drift()
        return dataclasses.replace(report, drift=found, walk=walk)

    async def _drift(self, url: str, headers: dict[str, str], walk: Walk) -> Drift:
        """What differs where the walk stands, and still does at a second look."""
        first = await self._compared_once(url, headers, walk)
        return confirmed(first, await self._compared_once(url, headers, walk)) if first.count else first

    async def _compared_once(self, url: str, headers: dict[str, str], walk: Walk) -> Drift:
        params = {"ranges": str(_RANGES)} | ({} if walk.cursor is None else {"cursor": walk.cursor})
        answer = await self._http.get(
            f"{url}/graph/drift", params=params, headers=headers, timeout=_DRIFT_TIMEOUT_SECONDS
        )
        answer.raise_for_status()
        return read_drift(answer.json())

    async def _mend(self, url: str, headers: dict[str, str], drift: Drift) -> None:
        """Have each named memory applied afresh, and what no memory supports removed."""
        for one in drift.samples:
            what = {"memory_id": one.memory_id} if one.memory_id else {"sweep": "true"}
            answer = await self._http.post(
                f"{url}/graph/sync",
                params=what,
                headers={**headers, "X-Memsys-Project": one.project},
                timeout=_SYNC_TIMEOUT_SECONDS,
            )
            if answer.status_code != _NOT_FOUND:  # gone from both stores meanwhile
                answer.raise_for_status()

    async def _status(self, url: str, headers: dict[str, str]) -> SyncReport:
        answer = await self._http.get(f"{url}/graph/status", headers=headers, timeout=_STATUS_TIMEOUT_SECONDS)
        answer.raise_for_status()
        return read(answer.json())


def _uncompared(url: str, report: SyncReport, because: str) -> SyncReport:
    logger.warning("%s: graph and PostgreSQL cannot be compared now: %s", url, because)
    return dataclasses.replace(report, uncompared=because)
