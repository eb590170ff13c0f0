"""Whether a key is one the API knows, so that a wrong one fails on connecting and not on the first tool."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable

import memsys
from memsys_mcp.caller import request_id
from memsys_mcp.recent import Recent

GOOD_FOR_SECONDS = 60.0
KNOWN_FOR_SECONDS = 12 * 3600.0
MAX_KEYS = 10_000
CHECK_SECONDS = 0.8  # with a tool's patience and its probe, well within five seconds
SKIP_SECONDS = 10.0

logger = logging.getLogger(__name__)


class Access:
    """Asks the API once a minute per key. It is no wall: the API checks the key again with every call."""

    def __init__(self, api: memsys.AsyncClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api.with_options(timeout=CHECK_SECONDS, budget=CHECK_SECONDS)
        self._good: Recent[bool] = Recent(GOOD_FOR_SECONDS, MAX_KEYS, clock)
        self._known: Recent[bool] = Recent(KNOWN_FOR_SECONDS, MAX_KEYS, clock)
        self._clock = clock
        self._skip_until = clock()

    async def admits(self, key: str) -> bool:
        """False only where the API says that the key is no good. While it is away, tools say so better, and sooner."""
        digest = _digest(key)
        if self._good.get(digest) or self._clock() < self._skip_until:
            return True
        try:
            await self._api.with_options(key=key, request_id=request_id.get()).info()
        except memsys.Unauthorized:
            self._known.forget(digest)
            return False
        except memsys.Forbidden:  # known, but not allowed to read
            pass
        except memsys.MemsysError as error:
            logger.warning("the key could not be checked: %s", type(error).__name__)
            self._skip_until = self._clock() + SKIP_SECONDS
            return True
        self._good.put(digest, True)
        self._known.put(digest, True)
        return True

    def knows(self, key: str) -> bool:
        """Whether the API itself has accepted the key within the last hours, for when it cannot be asked."""
        return self._known.get(_digest(key)) is not None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
