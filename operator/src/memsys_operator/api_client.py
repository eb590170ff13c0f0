"""The operator's calls to a system's own API: what the graph lacks, and driving it there."""

from __future__ import annotations

import dataclasses
import logging

import httpx

from memsys_operator.sync import Drift, SyncReport, compares, confirmed, failed, read, read_drift

logger = logging.getLogger(__name__)

#: Driving a sync applies what is parked, record by record, before it answers.
_SYNC_TIMEOUT_SECONDS = 60.0
_STATUS_TIMEOUT_SECONDS = 5.0
#: A comparison reads both stores, page by page, up to so many memories.
_DRIFT_LIMIT = 100_000
_DRIFT_TIMEOUT_SECONDS = 120.0
#: How often one look compares and mends before it leaves the rest to the next: about 100 memories each time.
_MENDING_ROUNDS = 5
_NOT_FOUND = 404


class MemoryAPI:
    """Calls to the APIs of all systems over one connection pool."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        headers = {"User-Agent": "memsys-operator"}
        self._http = httpx.AsyncClient(headers=headers, trust_env=False, transport=transport)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def check_graph(
        self, url: str, admin_key: str, last: SyncReport | None = None, *, overdue: bool = True
    ) -> SyncReport:
        """Ask ``/graph/status``; when records are parked and the graph answers, drive ``/graph/sync`` and ask again;
        when a comparison is due (see :func:`memsys_operator.sync.compares`), ask ``/graph/drift`` too.

        What the look before (``last``) found to differ is applied again first. So a difference is reported before it is
        mended, and a process that ends between the two leaves nothing half done: the next one compares at its start.

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
            where, status = error.request.url.path, error.response.status_code
            return failed(f"the API answers {where} with {status}")
        except httpx.HTTPError as error:
            return failed(f"the API does not answer at {url}: {type(error).__name__}")
        except (ValueError, TypeError, AttributeError):
            return failed(f"the API answers {url}/graph/status with something else than a graph status")
        report = dataclasses.replace(report, drift=last.drift if last is not None else None)
        return await self._compare(url, headers, report) if compares(report, last, overdue=overdue) else report

    async def _compare(self, url: str, headers: dict[str, str], report: SyncReport) -> SyncReport:
        """``report`` with a new comparison; as it is, and the reason logged, when the API cannot make one now."""
        found = report.drift
        try:
            if found is None or not found.samples:
                return dataclasses.replace(report, drift=await self._drift(url, headers), compared=True)
            for _ in range(_MENDING_ROUNDS):
                await self._mend(url, headers, found)
                before, found = found.samples, await self._drift(url, headers)
                if found.samples == before:
                    found = dataclasses.replace(found, stuck=True)
                    break
                if not found.samples:
                    break
        except httpx.HTTPError as error:
            logger.warning("%s: graph and PostgreSQL cannot be compared now: %s", url, error or type(error).__name__)
            return dataclasses.replace(report, drift=found)
        except (ValueError, TypeError, KeyError) as error:
            logger.warning("%s answers /graph/drift with something else than a comparison: %r", url, error)
            return report
        return dataclasses.replace(report, drift=found, compared=True)

    async def _drift(self, url: str, headers: dict[str, str]) -> Drift:
        """What differs, and still does at a second look."""
        first = await self._compared_once(url, headers)
        return confirmed(first, await self._compared_once(url, headers)) if first.count else first

    async def _compared_once(self, url: str, headers: dict[str, str]) -> Drift:
        answer = await self._http.get(
            f"{url}/graph/drift", params={"limit": _DRIFT_LIMIT}, headers=headers, timeout=_DRIFT_TIMEOUT_SECONDS
        )
        answer.raise_for_status()
        return read_drift(answer.json())

    async def _mend(self, url: str, headers: dict[str, str], drift: Drift) -> None:
        """Have each named memory applied afresh."""
        for one in drift.samples:
            answer = await self._http.post(
                f"{url}/graph/sync",
                params={"memory_id": one.memory_id},
                headers={**headers, "X-Memsys-Project": one.project},
                timeout=_SYNC_TIMEOUT_SECONDS,
            )
            if answer.status_code != _NOT_FOUND:  # gone from both stores meanwhile
                answer.raise_for_status()

    async def _status(self, url: str, headers: dict[str, str]) -> SyncReport:
        answer = await self._http.get(f"{url}/graph/status", headers=headers, timeout=_STATUS_TIMEOUT_SECONDS)
        answer.raise_for_status()
        return read(answer.json())
