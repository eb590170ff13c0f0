"""A relay between the API and a server that knows each message and can stop the world before any one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from .dialects import Dialect, Direction


@dataclass(frozen=True)
class Step:
    """A message that counts, between the API and one of its databases."""

    label: str
    after_commit: bool
    """Whether a write was durable by then."""


@dataclass
class Trap:
    """Springs before the first step that is ``wanted``, which is ``sprung_at`` then.

    ``spring`` does the harm. The message is not forwarded, nor anything that comes after it on its connection.
    """

    wanted: Callable[[Step], bool]
    spring: Callable[[], None]
    sprung: asyncio.Event = field(default_factory=asyncio.Event)
    sprung_at: Step | None = None


@dataclass
class Listener:
    """What all taps of an API have in common: the trap that is set, and what was said."""

    trap: Trap | None = None
    heard: list[Step] = field(default_factory=list)
    committed: bool = False

    def begin(self, trap: Trap | None = None) -> None:
        """Forget what was heard, and set a trap."""
        self.trap, self.heard, self.committed = trap, [], False

    def springs(self, label: str | None) -> bool:
        """Hear a message; whether it is the one not to be forwarded."""
        if label is None:
            return False
        step, trap = Step(label, self.committed), self.trap
        self.heard.append(step)
        if trap is None or trap.sprung_at is not None or not trap.wanted(step):
            return False
        trap.sprung_at = step
        trap.sprung.set()
        trap.spring()
        return True


class _Cut(Exception):
    """The connection ends here."""


@asynccontextmanager
async def tap(address: str, port: int, dialect: Callable[[], Dialect], listener: Listener) -> AsyncIterator[int]:
    """Relay a server on a port of 127.0.0.1, which is returned."""
    open_ones: set[asyncio.StreamWriter] = set()
    serving: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(writer)
        try:
            there, back = await asyncio.open_connection(address, port)
        except OSError:
            writer.close()
            return
        open_ones.add(back)
        spoken = dialect()
        ways: tuple[tuple[Direction, asyncio.StreamReader, asyncio.StreamWriter], ...] = (
            (">", reader, back),
            ("<", there, writer),
        )
        pumps = [asyncio.create_task(_pump(spoken, way, source, sink, listener)) for way, source, sink in ways]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for end in (writer, back):
            end.close()
            open_ones.discard(end)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for end in open_ones:
            end.close()
        await asyncio.gather(*serving)


async def _pump(
    spoken: Dialect, way: Direction, source: asyncio.StreamReader, sink: asyncio.StreamWriter, listener: Listener
) -> None:
    with suppress(OSError, _Cut):
        while data := await source.read(65536):
            for message in spoken.read(way, data):
                if listener.springs(message.label):
                    raise _Cut
                if message.ends_commit:
                    listener.committed = True
                sink.write(message.raw)
            await sink.drain()
