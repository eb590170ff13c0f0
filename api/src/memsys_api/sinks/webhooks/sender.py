"""Calls webhooks: only where they may go, once, within a time, following nothing and believing little.

The address is decided on in one place: a name is resolved, every address of it is judged, and the connection is made to
one of those judged. Nothing resolves the name a second time, so a name that changes its answer gains nothing. TLS still
verifies the name. No proxy of the environment is used.
"""

from __future__ import annotations

import asyncio
import ssl
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpcore

from memsys_api.causes import cause
from memsys_api.sinks.webhooks.addresses import Network, refused

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host and port to its addresses. Raises :class:`OSError`."""

_RESPONSE_BYTES = 16 * 1024  # read so that the connection can be used again, never kept
_CONNECTIONS = 256
_KEPT_SECONDS = 30.0
_CONNECT_SECONDS = 3.0  # of each address


class Blocked(Exception):
    """The name leads to an address that webhooks may not call."""


@dataclass(frozen=True)
class Answer:
    """What came of a call: the status, or why there is none."""

    status: int | None
    error: str | None
    """``None``: delivered."""
    away: bool = False
    """Whether the endpoint was not there or overloaded, rather than unwilling."""


async def check(url: str, allowed: Sequence[Network], resolver: Resolver) -> None:
    """Say now what a call would run into. Raises :class:`Blocked`, or :class:`OSError` for an unknown name."""
    parts = urlsplit(url)
    assert parts.hostname is not None  # held by the schema
    port = parts.port or (443 if parts.scheme == "https" else 80)
    _judge(await resolver(parts.hostname, port), allowed, plain=parts.scheme == "http")


def _judge(addresses: Sequence[str], allowed: Sequence[Network], *, plain: bool) -> None:
    if not addresses:
        raise OSError("the name has no address")
    if (bad := refused(addresses, allowed, only_allowed=plain)) is not None:
        kind = "plain http is only for" if plain else "not public, nor in"
        raise Blocked(f"the address {bad} is refused: {kind} WEBHOOK_ALLOWED_NETWORKS")


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to names by way of the rules on addresses."""

    def __init__(self, allowed: Sequence[Network], resolver: Resolver, *, plain: bool) -> None:
        self._allowed = allowed
        self._resolver = resolver
        self._plain = plain
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._resolver(host, port)
        _judge(addresses, self._allowed, plain=self._plain)
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, _CONNECT_SECONDS, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None  # there was at least one address
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> typing.NoReturn:
        raise Blocked("webhooks are not called over sockets of this machine")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class Sender:
    """Posts to webhooks. One for all of them: it keeps their connections."""

    def __init__(self, allowed: Sequence[Network], resolver: Resolver, *, timeout: float) -> None:
        self._timeout = timeout
        self._pools = {
            scheme: httpcore.AsyncConnectionPool(
                ssl_context=ssl.create_default_context(),
                max_connections=_CONNECTIONS,
                keepalive_expiry=_KEPT_SECONDS,
                network_backend=_Guarded(allowed, resolver, plain=scheme == "http"),
            )
            for scheme in ("http", "https")
        }

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post once. Never raises for what the other side does or is."""
        try:
            async with asyncio.timeout(self._timeout):
                status = await self._post(url, body, headers)
        except TimeoutError:
            return Answer(None, f"no answer within {self._timeout:g} s", away=True)
        except Blocked as error:
            return Answer(None, str(error))
        except (OSError, httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            return Answer(None, f"no connection: {cause(error)}", away=True)
        if 200 <= status < 300:
            return Answer(status, None)
        if 300 <= status < 400:
            return Answer(status, f"answered {status}; redirects are not followed: register the address it leads to")
        return Answer(status, f"answered {status}", away=status in (429, 502, 503, 504))

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        parts = urlsplit(url)
        sent = [("Host", parts.netloc), ("Content-Length", str(len(body))), *headers.items()]
        async with self._pools[parts.scheme].stream("POST", url, headers=sent, content=body) as response:
            read = 0
            async for chunk in response.aiter_stream():
                read += len(chunk)
                if read > _RESPONSE_BYTES:
                    break  # leaving the block closes a connection whose answer was not read to its end
            return int(response.status)

    async def close(self) -> None:
        """Close the connections."""
        for pool in self._pools.values():
            await pool.aclose()
