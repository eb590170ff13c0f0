"""Webhooks' names into addresses, apart from everybody else's: a name server that does not answer holds up only them.

The event loop's own resolver has a few threads for the whole process, PostgreSQL's connections included, and a look-up
cannot be ended: whoever gives up waiting leaves its thread behind. Here each look-up has a thread of its own, of which
there are a limited number; a name has one at a time, and one that failed slowly is left alone for a while.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

LOOK_UPS = 32
"""How many names are looked up at once."""
SECONDS = 8.0
"""How long anybody waits for a name; its look-up may take longer."""
_REST = 2.0  # times what a failed look-up took
_MOST_REST_SECONDS = 60.0

_Name = tuple[str, int]


class Names:
    """Looks names up with the system's resolver. For one event loop."""

    def __init__(self, look_up: Callable[[str, int], Sequence[str]] | None = None) -> None:
        self._look_up = look_up or system_look_up
        self._free = asyncio.Semaphore(LOOK_UPS)
        self._pending: dict[_Name, asyncio.Task[Sequence[str]]] = {}
        self._failed: dict[_Name, tuple[float, OSError]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """All addresses of a name. Raises :class:`OSError`."""
        if written := _addresses(host, port, socket.AI_NUMERICHOST):
            return written
        name = (host, port)
        until, failure = self._failed.get(name, (0.0, None))
        if failure is not None and time.monotonic() < until:
            raise failure.with_traceback(None)
        if (task := self._pending.get(name)) is None:
            task = self._pending[name] = asyncio.create_task(self._looked_up(name), name="webhook-name")
            task.add_done_callback(_seen)
        done, _ = await asyncio.wait({task}, timeout=SECONDS)
        if not done:
            raise OSError(f"no answer from the name servers within {SECONDS:g} s")
        return task.result()

    async def _looked_up(self, name: _Name) -> Sequence[str]:
        """Wait for a place and look up; the place is given back when the thread has ended, not earlier."""
        try:
            async with self._free:
                begun = time.monotonic()
                try:
                    found = await _in_a_thread(lambda: self._look_up(*name))
                except OSError as error:
                    self._note(name, error, time.monotonic() - begun)
                    raise
            self._failed.pop(name, None)
            return found
        finally:
            del self._pending[name]

    def _note(self, name: _Name, error: OSError, took: float) -> None:
        now = time.monotonic()
        self._failed = {known: rest for known, rest in self._failed.items() if rest[0] > now}
        self._failed[name] = now + min(_REST * took, _MOST_REST_SECONDS), error


def system_look_up(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, by the system's resolver; blocks. Raises :class:`OSError`."""
    if found := _addresses(host, port, 0):
        return found
    raise OSError("the name cannot be resolved")


def _addresses(host: str, port: int, flags: int) -> Sequence[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except UnicodeError:
        raise OSError("the name has an empty or too long label") from None
    except socket.gaierror:
        if flags & socket.AI_NUMERICHOST:
            return ()
        raise
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _seen(task: asyncio.Task[Sequence[str]]) -> None:
    """Whoever waited may have given up: then a failure is nobody's."""
    if not task.cancelled():
        task.exception()


async def _in_a_thread(work: Callable[[], Sequence[str]]) -> Sequence[str]:
    """In a daemon thread of its own, which keeps neither the process from ending nor others from working."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Sequence[str]] = loop.create_future()

    def end(found: Sequence[str] | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(found or ())

    def run() -> None:
        found: Sequence[str] | None = None
        failure: BaseException | None = None
        try:
            found = work()
        except BaseException as error:
            failure = error
        with suppress(RuntimeError):  # the loop has ended meanwhile, and nobody waits any more
            loop.call_soon_threadsafe(end, found, failure)

    threading.Thread(target=run, name="webhook-name", daemon=True).start()
    return await future
