"""Steady traffic at the API, by clients that forgive nothing: no retries, and every failure is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

#: Between two requests of one client.
_PAUSE_SECONDS = 0.1


@dataclass
class Traffic:
    """What the clients of one run were answered."""

    url: str
    headers: dict[str, str]
    stored: list[str] = field(default_factory=list)
    searches: int = 0
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _begun: float = field(default_factory=time.monotonic)

    @contextmanager
    def flowing(self, *, kept: int = 3, new: int = 3) -> Iterator[None]:
        """Have ``kept`` clients that keep their connection and ``new`` ones that open one for each request add and
        search by turns, until the block ends; the request that each is in is then finished."""
        stop = threading.Event()
        clients = [*(f"kept {n}" for n in range(kept)), *(f"new {n}" for n in range(new))]
        threads = [threading.Thread(target=self._client, args=(name, stop), name=name) for name in clients]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(timeout=60)

    @property
    def answered(self) -> int:
        return len(self.stored) + self.searches

    def _client(self, name: str, stop: threading.Event) -> None:
        number = 0
        while not stop.is_set():
            with httpx.Client(base_url=self.url, headers=self.headers, timeout=30, trust_env=False) as client:
                while not stop.is_set():
                    self._ask(client, name, number)
                    number += 1
                    stop.wait(_PAUSE_SECONDS)
                    if name.startswith("new"):
                        break

    def _ask(self, client: httpx.Client, name: str, number: int) -> None:
        adds = number % 2 == 0
        body: dict[str, Any] = {"user_id": "roller"}
        body |= {"messages": f"Client {name} said {number}."} if adds else {"query": f"What did client {name} say?"}
        at = f"{time.monotonic() - self._begun:.1f} s: {name}: {'add' if adds else 'search'} {number}"
        try:
            answer = client.post("/memories" if adds else "/search", json=body)
            found = answer.json() if answer.is_success else {}
        except httpx.HTTPError as error:
            self._fail(f"{at}: {error!r}")
            return
        if not answer.is_success:
            self._fail(f"{at}: {answer.status_code} {answer.text[:200]}")
            return
        with self._lock:
            if adds:
                self.stored += [result["id"] for result in found["results"]]
            else:
                self.searches += 1

    def _fail(self, what: str) -> None:
        with self._lock:
            self.failures.append(what)
