"""From a call and its options to an HTTP request; shared by both clients. No I/O."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlsplit

import httpx

from memsys import delegation
from memsys import headers as header
from memsys._version import __version__
from memsys.errors import ProblemError, Unreachable, problem
from memsys.exchange import Options
from memsys.operations import Call
from memsys.retry import parse_retry_after

_SILENT_SECONDS = 300.0
USER_AGENT = f"memsys-python/{__version__}"


def base_url(url: str) -> str:
    """Check a service address; give it without a trailing slash. :class:`ValueError` names the remedy."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"base_url {url!r} is not an address of the service; give one like http://127.0.0.1:8000")
    return url.rstrip("/")


def limits(max_connections: int) -> httpx.Limits:
    """What the pool may keep. How many there are at once is for ``slots`` to limit: nobody is to wait in the pool."""
    return httpx.Limits(max_connections=None, max_keepalive_connections=max_connections, keepalive_expiry=30.0)


def request_arguments(call: Call[Any], options: Options) -> dict[str, Any]:
    """The arguments of ``httpx.Client.request``; the request id is the same for all attempts of a call.

    Raises :class:`ValueError` for a header that cannot be sent.
    """
    headers = {
        "Accept": "application/json",
        "User-Agent": USER_AGENT,
        "X-Request-ID": options.request_id or uuid.uuid4().hex,
        **{name: header.words(name, value) for name, value in call.headers.items()},
    }
    if options.key is not None:
        headers["Authorization"] = f"Bearer {options.key}"
    if options.project is not None:
        headers["X-Memsys-Project"] = options.project
    if options.traceparent is not None:
        headers["traceparent"] = options.traceparent
    if call.body is not None:
        headers["Content-Type"] = "application/json"
    return {
        "method": call.method,
        "url": call.path,
        "params": call.query or None,
        "content": call.body,
        "headers": headers,
    }


def signed(arguments: dict[str, Any], options: Options, now: float) -> dict[str, Any]:
    """The arguments for an attempt that begins ``now``: a signed scope is short-lived, so each attempt gets its own."""
    if options.delegation is None:
        return arguments
    if options.key is None:
        raise ValueError("a delegation narrows a key; give the key too")
    scope = {delegation.HEADER: options.delegation.sign(options.key, now)}
    return {**arguments, "headers": {**arguments["headers"], **scope}}


def stream_timeout(connect: float) -> httpx.Timeout:
    """A time-out for a stream: as long as it likes, but never silent for minutes."""
    return httpx.Timeout(_SILENT_SECONDS, connect=connect)


def refusal(answer: httpx.Response) -> ProblemError:
    """What an answer that is no success stands for; its body has been read."""
    return problem(
        answer.status_code,
        answer.content,
        request_id=answer.headers.get("X-Request-ID"),
        retry_after=parse_retry_after(answer.headers.get("Retry-After")),
    )


def broken(call: Call[Any], error: httpx.TransportError) -> Unreachable:
    """A stream that did not reach its end."""
    return Unreachable(f"{call.method} {call.path}: {str(error) or type(error).__name__}")


def attempt_timeout(seconds: float, connect: float) -> httpx.Timeout:
    """A time-out for one attempt: connecting gets its own, shorter share."""
    return httpx.Timeout(seconds, connect=min(seconds, connect))
