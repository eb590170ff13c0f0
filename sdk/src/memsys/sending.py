"""What the methods of both clients are built on: how a call is sent, whatever it is about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TypeVar

from memsys.operations import Call

T = TypeVar("T")
Chunks = Iterator[bytes]
AsyncChunks = AsyncIterator[bytes]
Lines = Iterable[bytes] | bytes
AsyncLines = AsyncIterable[bytes] | bytes


class Sending(ABC):
    """Sends calls and waits for their answers."""

    @abstractmethod
    def _send(self, call: Call[T]) -> T:
        """Send a call, again where that helps, and read its answer. Raises :class:`~memsys.errors.MemsysError`."""

    @abstractmethod
    def _pieces(self, call: Call[None]) -> Chunks:
        """The body of a long answer as it comes. Raises as above."""

    @abstractmethod
    def _send_lines(self, call: Call[T], lines: Lines) -> T:
        """Send a call with a long body, once, and read its answer. Raises as above."""


class AsyncSending(ABC):
    """Sends calls whose answers are awaited."""

    @abstractmethod
    async def _send(self, call: Call[T]) -> T:
        """Send a call, again where that helps, and read its answer. Raises :class:`~memsys.errors.MemsysError`."""

    @abstractmethod
    def _pieces(self, call: Call[None]) -> AsyncChunks:
        """The body of a long answer as it comes. Raises as above."""

    @abstractmethod
    async def _send_lines(self, call: Call[T], lines: AsyncLines) -> T:
        """Send a call with a long body, once, and read its answer. Raises as above."""
