"""What a Service is to its clients: one of the replicas, in turn; and what clients hold against the API's answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import Any

import httpx

_RETRY_SECONDS = 0.2
TIMEOUT_SECONDS = 15.0


class GivenUp(Exception):
    """The client went away without an answer: what it asked for may have been done."""


class Front:
    """Sends each request to the next replica, and again to the one after it when there is no answer."""

    def __init__(self, clients: Sequence[httpx.AsyncClient]) -> None:
        self._clients = clients
        self._turns = count()
        self.answers: Counter[str] = Counter()
        self.violations: list[str] = []
        """Answers that no client may see."""

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()

    async def request(
        self, method: str, path: str, *, patience: int | None = None, allowed: tuple[int, ...] = (200,), **content: Any
    ) -> httpx.Response:
        """Ask until there is an answer; after ``patience`` attempts without one raise :class:`GivenUp`.

        A refused or broken connection, and 503 with Retry-After, are what a client has to expect and tries again on.
        Everything else but the statuses in ``allowed`` is noted as a violation, and given up.
        """
        attempts = 0
        while patience is None or attempts < patience:
            attempts += 1
            client = self._clients[next(self._turns) % len(self._clients)]
            try:
                answer = await client.request(method, path, **content)
            except httpx.TransportError as error:
                self.answers[type(error).__name__] += 1
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            self.answers[f"{method} {answer.status_code}"] += 1
            if answer.status_code in allowed:
                return answer
            if answer.status_code != 503 or "retry-after" not in answer.headers:
                said = f"{method} {path} at {client.base_url}: {answer.status_code} {answer.text[:500]}"
                self.violations.append(f"{said} (request {answer.headers.get('x-request-id')})")
                break
            await asyncio.sleep(min(float(answer.headers["retry-after"]), 1))
        raise GivenUp
