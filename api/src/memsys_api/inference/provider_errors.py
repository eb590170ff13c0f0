"""What went wrong at a provider, in the words of inference: try again later, mend the settings, or the input. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from memsys_api.inference.provider_settings import missing_package
from memsys_api.inference.types import InferenceError, InferenceRejected, InferenceUnavailable

LATER = frozenset({408, 409, 425, 429})  # beside all 5xx
OF_SETTINGS = frozenset({401, 402, 403, 404, 405})  # other 4xx are about this one request
DETAIL_CHARACTERS = 300
_TRANSPORT = frozenset({"TransportError", "APIConnectionError", "ConnectionError", "Timeout", "TimeoutException"})
_SAMPLING = ("temperature", "top_p", "max_tokens")
_NO_MONEY = ("insufficient_quota", "credit balance")  # answered as 429 or 400, and no waiting will mend it


def translate(
    error: BaseException, provider: str, model: str, *, now: datetime, key: str | None = None
) -> InferenceError:
    """Return the error of the contract for ``error``. Status codes and connection errors decide, not the library.

    ``key`` is the secret that must not appear in it.
    """
    if isinstance(error, InferenceError):
        return error
    if isinstance(error, ImportError):
        return missing_package(provider, error)
    who = f"{provider} model {model}"
    status = status_of(error)
    if status in (401, 403):  # the body may repeat the key
        return InferenceRejected(f"{who} refused the key (HTTP {status}): correct LLM_API_KEY")
    if status is not None:
        text = f"{who} answered HTTP {status}: {detail(error, key)}"
        if any(word in str(error).casefold() for word in _NO_MONEY):
            return InferenceRejected(text)
        if status in LATER or status >= 500:
            return InferenceUnavailable(text, retry_after=retry_after(error, now))
        if status == 404 and provider == "ollama":
            return InferenceRejected(f"{text}; run `ollama pull {model}` on its server, or correct LLM_MODEL")
        if status in OF_SETTINGS:
            return InferenceRejected(f"{text}; correct LLM_MODEL or LLM_BASE_URL")
        return InferenceRejected(text, subject="input")
    for cause in _causes(error):
        if isinstance(cause, TimeoutError | OSError) or _TRANSPORT & {base.__name__ for base in type(cause).__mro__}:
            return InferenceUnavailable(f"{who} does not answer: {detail(error, key)}")
    # A provider's library failed on what its server sent: no fault of this request, and perhaps gone with the next.
    return InferenceUnavailable(f"{who} cannot be used: {type(error).__name__}: {detail(error, key)}")


def refused_parameter(error: BaseException) -> str | None:
    """Name the optional parameter that a 400 complains of: ``"sampling"``, ``"response_format"``, or ``None``."""
    if status_of(error) not in (400, 422):
        return None
    text = f"{getattr(error, 'param', None)} {error}".casefold()
    if "response_format" in text:
        return "response_format"
    return "sampling" if any(name in text for name in _SAMPLING) else None


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that the provider answered, wherever its library keeps it."""
    for cause in _causes(error):
        response = getattr(cause, "response", None)
        for status in (
            getattr(cause, "status_code", None),
            getattr(cause, "code", None),
            getattr(response, "status_code", None),
            _aws(cause).get("ResponseMetadata", {}).get("HTTPStatusCode"),
        ):
            if isinstance(status, int) and 400 <= status <= 599:
                return status
    return None


def retry_after(error: BaseException, now: datetime) -> float | None:
    """Return the seconds after which the provider wants to be asked again, if it says so in a header."""
    for cause in _causes(error):
        headers: Any = getattr(getattr(cause, "response", None), "headers", None)
        if headers is None:
            continue
        for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
            value = headers.get(name)
            try:
                if value is not None:
                    return max(0.0, float(value) * unit)
            except ValueError:
                try:
                    return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
                except (ValueError, TypeError):
                    continue
    return None


def detail(error: BaseException, key: str | None = None) -> str:
    """Return the error's text on one line, shortened, without the key."""
    text = " ".join(str(error).split()) or type(error).__name__
    if key:
        text = text.replace(key, "***")
    return text if len(text) <= DETAIL_CHARACTERS else text[:DETAIL_CHARACTERS] + "…"


def _aws(error: BaseException) -> dict[str, Any]:
    response = getattr(error, "response", None)
    return response if isinstance(response, dict) else {}


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(5):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__
