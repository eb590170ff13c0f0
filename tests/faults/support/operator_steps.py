"""The operator's sync step, ended at one of its steps.

What it knows it keeps in memory alone, and all it does to a system are requests: to be killed is to end before one of
them or before its answer. A new process then begins without a last report.
"""

from __future__ import annotations

import httpx

from memsys_operator.api_client import MemoryAPI
from memsys_operator.sync import SyncReport

from .rig import ADMIN_KEY


class Killed(BaseException):
    """The process is no more: nothing may catch this."""


class _Mortal(httpx.AsyncHTTPTransport):
    """Ends the process at its n-th step: each request is one, and each answer."""

    def __init__(self, left: int | None) -> None:
        super().__init__()
        self._left = left

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._step()
        answer = await super().handle_async_request(request)
        await answer.aread()
        self._step()
        return answer

    def _step(self) -> None:
        if self._left is not None:
            if self._left == 0:
                raise Killed
            self._left -= 1


async def looks(url: str, number: int, dies_at: int | None = None) -> SyncReport | None:
    """A process of the operator that looks so many times, the first time without knowing anything."""
    api, report = MemoryAPI(_Mortal(dies_at)), None
    try:
        for _ in range(number):
            report = await api.check_graph(url, ADMIN_KEY, report)
    finally:
        await api.aclose()
    return report
