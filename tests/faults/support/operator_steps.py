"""The operator's sync step, ended at one of its steps.

All it does to a system are requests: to be killed is to end before one of them or before its answer. A new process then
knows what the last look that came to its end wrote into the status.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import httpx

from memsys_operator.api_client import MemoryAPI
from memsys_operator.sync import restored, written

from .rig import ADMIN_KEY

_LOOK_SECONDS = 60.0


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
    """A process of the operator that looks so many times, and ends at this step of them if one is given.

    A look at a graph that does not answer, or cannot be compared, as one may on a busy machine, is none: there is
    nothing to be seen.
    """
    api, report, left = MemoryAPI(_Mortal(dies_at)), None, number
    try:
        async with asyncio.timeout(_LOOK_SECONDS * number):
            while left:
                walk = report.walk if report else restored(status.sync)
                report = await api.check_graph(url, ADMIN_KEY, report, walk, now=int(time.time()), interval=0)
                status.sync = written(report.walk)
                seen = report.available and report.uncompared is None
                left -= int(seen)
                await asyncio.sleep(0 if seen else 0.5)
    except TimeoutError:
        raise AssertionError(
            f"{left} of {number} looks were left after {_LOOK_SECONDS * number:g} s: {report}"
        ) from None
    finally:
        await api.aclose()
