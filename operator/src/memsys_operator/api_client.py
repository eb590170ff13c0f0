"""The operator's calls to a system's own API: what the graph lacks, and driving it there."""

from __future__ import annotations

import httpx

from memsys_operator.sync import SyncReport, failed, read

#: Driving a sync applies what is parked, record by record, before it answers.
_SYNC_TIMEOUT_SECONDS = 60.0
_STATUS_TIMEOUT_SECONDS = 5.0


class MemoryAPI:
    """Calls to the APIs of all systems over one connection pool."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        headers = {"User-Agent": "memsys-operator"}
        self._http = httpx.AsyncClient(headers=headers, trust_env=False, transport=transport)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def check_graph(self, url: str, admin_key: str) -> SyncReport:
        """Ask ``/graph/status``; when records are parked and the graph answers, drive ``/graph/sync`` and ask again.

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
        return report

    async def _status(self, url: str, headers: dict[str, str]) -> SyncReport:
        answer = await self._http.get(f"{url}/graph/status", headers=headers, timeout=_STATUS_TIMEOUT_SECONDS)
        answer.raise_for_status()
        return read(answer.json())
