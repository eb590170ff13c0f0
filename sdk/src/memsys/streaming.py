"""Bodies that are too large to be held: read and sent in pieces, blocking and not. Never retried by itself."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from memsys import wire
from memsys.exchange import UNSENDABLE, Options, undecodable, unsendable
from memsys.operations import Call
from memsys.slots import AsyncSlots, Slots

T = TypeVar("T")


def pieces(http: httpx.Client, slots: Slots, call: Call[Any], options: Options, connect: float) -> Iterator[bytes]:
    """An answer's body as it arrives. Raises as the clients do."""
    with (
        _told(call),
        slots.stream(options.budget),
        http.stream(**_arguments(call, options), timeout=wire.stream_timeout(connect)) as answer,
    ):
        if not answer.is_success:
            answer.read()
            raise wire.refusal(answer)
        yield from answer.iter_bytes()


def send(
    http: httpx.Client, slots: Slots, call: Call[T], options: Options, connect: float, body: Iterable[bytes] | bytes
) -> T:
    """What is answered to a body that is sent as it comes. Raises as the clients do."""
    with _told(call), slots.stream(options.budget):
        answer = http.request(**_arguments(call, options) | {"content": body}, timeout=wire.stream_timeout(connect))
    if not answer.is_success:
        raise wire.refusal(answer)
    return call.read(answer.content)


async def pieces_async(
    http: httpx.AsyncClient, slots: AsyncSlots, call: Call[Any], options: Options, connect: float
) -> AsyncIterator[bytes]:
    """As :func:`pieces`."""
    with _told(call):
        async with (
            slots.stream(options.budget),
            http.stream(**_arguments(call, options), timeout=wire.stream_timeout(connect)) as answer,
        ):
            if not answer.is_success:
                await answer.aread()
                raise wire.refusal(answer)
            async for chunk in answer.aiter_bytes():
                yield chunk


async def send_async(
    http: httpx.AsyncClient,
    slots: AsyncSlots,
    call: Call[T],
    options: Options,
    connect: float,
    body: AsyncIterable[bytes] | bytes,
) -> T:
    """As :func:`send`."""
    with _told(call):
        async with slots.stream(options.budget):
            answer = await http.request(
                **_arguments(call, options) | {"content": body}, timeout=wire.stream_timeout(connect)
            )
    if not answer.is_success:
        raise wire.refusal(answer)
    return call.read(answer.content)


class Until(httpx.SyncByteStream):
    """A body that has to arrive by a moment of :func:`time.monotonic`; else :class:`httpx.ReadTimeout`."""

    def __init__(self, body: httpx.SyncByteStream, deadline: float) -> None:
        self._body = body
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            if time.monotonic() > self._deadline:
                raise httpx.ReadTimeout("the answer goes on for too long")
            yield chunk

    def close(self) -> None:
        self._body.close()


@contextmanager
def _told(call: Call[Any]) -> Iterator[None]:
    """Raises what the HTTP library raises as the clients' own errors."""
    try:
        yield
    except UNSENDABLE as error:
        raise unsendable(call, error) from None
    except httpx.TransportError as error:
        raise wire.broken(call, error) from error
    except httpx.DecodingError as error:
        raise undecodable(call, error) from error


def _arguments(call: Call[Any], options: Options) -> dict[str, Any]:
    """The request as it is sent now: an export may be read long after it was asked for, and a signed scope is brief."""
    return wire.signed(wire.request_arguments(call, options), options, time.time())
