"""Whether a key is one the API knows, so that a wrong one fails on connecting and not on the first tool."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable

import memsys
from memsys_mcp.buckets import TokenBuckets
from memsys_mcp.caller import request_id
from memsys_mcp.recent import Recent

GOOD_FOR_SECONDS = 60.0
KNOWN_FOR_SECONDS = 12 * 3600.0
MAX_KEYS = 10_000
CHECK_SECONDS = 0.8  # with a tool's patience and its probe, well within five seconds
SKIP_SECONDS = 10.0
MAX_CHECKS = 32
"""At once: by so many at most can wrong keys that come together exceed what a client may try."""

logger = logging.getLogger(__name__)


class TooManyWrongKeys(Exception):
    """The key was not looked at, because too many wrong ones came before; after ``retry_after`` seconds it is."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"too many wrong keys; looked at again in {retry_after} s")
        self.retry_after = retry_after


class Access:
    """Asks the API once a minute per key. It is no wall: the API checks the key again with every call.

    The API slows down an address that brings wrong keys, and to it every client has this server's. So whoever tries
    them is slowed down here, by an address of its own; keys that the API has accepted lately are not held up.
    """

    def __init__(self, api: memsys.AsyncClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api.with_options(timeout=CHECK_SECONDS, budget=CHECK_SECONDS)
        self._good: Recent[bool] = Recent(GOOD_FOR_SECONDS, MAX_KEYS, clock)
        self._known: Recent[bool] = Recent(KNOWN_FOR_SECONDS, MAX_KEYS, clock)
        self._wrong = TokenBuckets(clock)
        self._unchecked = TokenBuckets(clock)
        self._checks = asyncio.Semaphore(MAX_CHECKS)
        self._clock = clock
        self._skip_until = clock()

    async def admits(self, key: str, address: str | None) -> bool:
        """False only where the API says that the key is no good. While it is away, tools say so better, and sooner.

        ``address`` is the client's; ``None`` for the server's own key. Raises :class:`TooManyWrongKeys`.
        """
        digest = _digest(key)
        if self._needs_no_check(digest, address):
            return True
        async with self._checks:
            return self._needs_no_check(digest, address) or await self._check(key, digest, address)

    def knows(self, key: str) -> bool:
        """Whether the API itself has accepted the key within the last hours, for when it cannot be asked."""
        return self._known.get(_digest(key)) is not None

    def _needs_no_check(self, digest: str, address: str | None) -> bool:
        if self._good.get(digest):
            return True
        skips = self._clock() < self._skip_until
        if address is None or self._known.get(digest):
            return skips
        if wait := self._wrong.wait(address):
            raise TooManyWrongKeys(wait)
        if not skips or self._unchecked.wait(address):
            return False  # one slow answer makes no absence: not everything passes because of it
        self._unchecked.take(address)
        return True

    async def _check(self, key: str, digest: str, address: str | None) -> bool:
        try:
            await self._api.with_options(key=key, request_id=request_id.get()).info()
        except memsys.Unauthorized:
            self._known.forget(digest)
            if address is not None:
                self._wrong.take(address)
            return False
        except memsys.RateLimited as error:  # the API is there, and has not said whether the key is good
            if not self._known.get(digest):
                raise TooManyWrongKeys(error.retry_after or 1.0) from error
            return True
        except memsys.Forbidden:  # known, but not allowed to read
            pass
        except memsys.MemsysError as error:
            logger.warning("the key could not be checked: %s", type(error).__name__)
            self._skip_until = self._clock() + SKIP_SECONDS
            return True
        self._good.put(digest, True)
        self._known.put(digest, True)
        return True


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
