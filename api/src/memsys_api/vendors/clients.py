"""How long, how often and where a vendor's client calls; mem0 makes it, and leaves it its own minutes and retries."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

URL_BY_CLIENT = ("groq", "together", "gemini", "aws_bedrock", "sarvam")
"""Providers for whose address mem0 has no setting, but their client does."""


class Deadline(threading.local):
    """Until when this thread's present call may go on, by ``time.monotonic()``."""

    at: float = float("inf")


def call_within(
    model: Any, provider: str, *, seconds: float, retries: int, url: str | None = None, deadline: Deadline | None = None
) -> None:
    """Let the client of one of mem0's objects wait ``seconds`` for each answer and try again ``retries`` times.

    ``url`` is where it calls, for the providers of :data:`URL_BY_CLIENT`. With ``deadline``, an answer that drips is
    cut off; not by AWS's client and Sarvam's, which bound each wait for the next byte alone.
    """
    if provider == "gemini":
        model.client = _gemini(model.config, seconds, retries, url, deadline)
    elif provider == "aws_bedrock":
        model.client = bedrock(model.config, seconds, retries, url)
    elif provider == "sarvam":
        model.base_url = (url or model.base_url).rstrip("/")
    client: Any = getattr(model, "client", None)
    if hasattr(client, "with_options"):  # OpenAI's and Anthropic's, and those made like them
        where = {"base_url": url} if url and provider in URL_BY_CLIENT else {}
        client = model.client = client.with_options(timeout=seconds, max_retries=retries, **where)
    http: Any = getattr(client, "_client", None)
    if hasattr(http, "event_hooks"):  # every one of those keeps an httpx client, and so does Ollama's
        http.timeout = seconds
        if deadline:
            http.event_hooks = {
                **http.event_hooks,
                "response": [*http.event_hooks["response"], _bounded_by(deadline)],
            }


def bedrock(config: Any, seconds: float, retries: int, url: str | None) -> Any:
    """AWS's client for calling models. Credentials that ``config`` does not name are found as AWS's clients find them.

    ``config`` is mem0's, of embedder or language model.
    """
    import boto3  # type: ignore[import-untyped]
    from botocore.config import Config

    session = boto3.Session(
        aws_access_key_id=config.aws_access_key_id or None,
        aws_secret_access_key=config.aws_secret_access_key or None,
        aws_session_token=config.aws_session_token or None,
        region_name=config.aws_region,
        profile_name=getattr(config, "aws_profile", None),
    )
    limits = Config(
        connect_timeout=seconds,
        read_timeout=seconds,
        retries={"total_max_attempts": retries + 1, "mode": "standard"},
        max_pool_connections=64,
    )
    return session.client("bedrock-runtime", endpoint_url=url, config=limits)


def _gemini(config: Any, seconds: float, retries: int, url: str | None, deadline: Deadline | None) -> Any:
    from google import genai
    from google.genai import types

    hooks = {"event_hooks": {"response": [_bounded_by(deadline)]}} if deadline else {}
    options = types.HttpOptions(
        base_url=url,
        timeout=max(1, round(seconds * 1000)),
        retry_options=types.HttpRetryOptions(attempts=retries + 1),
        client_args=hooks,
    )
    if getattr(config, "vertexai", False):
        return genai.Client(vertexai=True, project=config.project, location=config.location, http_options=options)
    return genai.Client(api_key=config.api_key or os.environ.get("GOOGLE_API_KEY"), http_options=options)


def _bounded_by(deadline: Deadline) -> Any:
    """A hook of httpx that ends an answer which is still coming when the time is up."""

    def bound_body(response: Any) -> None:
        chunks = response.iter_raw

        def bounded(chunk_size: int | None = None) -> Iterator[bytes]:
            for chunk in chunks(chunk_size):
                if time.monotonic() > deadline.at:
                    raise TimeoutError("the answer took too long")
                yield chunk

        response.iter_raw = bounded

    return bound_body
