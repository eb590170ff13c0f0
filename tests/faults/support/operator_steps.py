"""The operator's sync step, ended at one of its steps.

All it does to a system are requests: to be killed is to end before one of them or before its answer. A new process then
knows what the last look that came to its end wrote into the status.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from memsys_operator.api_client import MemoryAPI
from memsys_operator.sync import restored, written

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


class Status:
    """What outlives the operator's process."""

    def __init__(self) -> None:
        self.sync: Mapping[str, Any] = {}


async def looks(url: str, status: Status, number: int, dies_at: int | None = None) -> None:
    """A process of the operator that looks so many times, and ends at this step of them if one is given."""
    api, report = MemoryAPI(_Mortal(dies_at)), None
    try:
        for _ in range(number):
            walk = report.walk if report else restored(status.sync)
            report = await api.check_graph(url, ADMIN_KEY, report, walk, now=int(time.time()), interval=0)
            status.sync = written(report.walk)
    finally:
        await api.aclose()
