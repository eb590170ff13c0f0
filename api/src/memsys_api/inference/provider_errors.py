"""What went wrong at a provider, in the words of inference: try again later, mend the settings, or the input. Pure."""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from memsys_api.causes import cause, chain
from memsys_api.inference.provider_settings import missing_package
from memsys_api.inference.types import InferenceError, InferenceRejected, InferenceUnavailable
from memsys_api.vendors.errors import LATER, is_away, lacks_credentials, status_of

OF_SETTINGS = frozenset({401, 402, 403, 404, 405})  # other 4xx are about this one request
_SAMPLING = ("temperature", "top_p", "max_tokens")
_NO_MONEY = ("insufficient_quota", "credit balance")  # answered as 429 or 400, and no waiting will mend it


def translate(error: BaseException, provider: str, model: str, *, now: datetime) -> InferenceError:
    """Return the error of the contract for ``error``. Status codes and connection errors decide, not the library."""
    if isinstance(error, InferenceError):
        return error
    if isinstance(error, ImportError):
        return missing_package(provider, error)
    who = f"{provider} model {model}"
    status = status_of(error)
    if status in (401, 403):  # the body may repeat the key
        return InferenceRejected(f"{who} refused the key (HTTP {status}): correct {credentials(provider)}")
    if status is not None:
        text = f"{who} answered HTTP {status}: {cause(error)}"
        if any(word in str(error).casefold() for word in _NO_MONEY):
            return InferenceRejected(f"{text}; the account has no credit left")
        if status in LATER or status >= 500:
            return InferenceUnavailable(text, retry_after=retry_after(error, now))
        if status == 404 and provider == "ollama":
            return InferenceRejected(f"{text}; run `ollama pull {model}` on its server, or correct LLM_MODEL")
        if status in OF_SETTINGS:
            return InferenceRejected(f"{text}; correct LLM_MODEL or LLM_BASE_URL")
        return InferenceRejected(text, subject="input")
    if is_away(error):
        return InferenceUnavailable(f"{who} does not answer: {cause(error)}")
    if lacks_credentials(error):
        return InferenceRejected(f"{who} has no credentials: set {credentials(provider)}")
    # A provider's library failed on what its server sent: no fault of this request, and perhaps gone with the next.
    return InferenceUnavailable(f"{who} cannot be used: {cause(error)}")


def refused_parameter(error: BaseException) -> str | None:
    """Name the optional parameter that a 400 complains of: ``"sampling"``, ``"response_format"``, or ``None``."""
    if status_of(error) not in (400, 422):
        return None
    text = f"{getattr(error, 'param', None)} {error}".casefold()
    if "response_format" in text:
        return "response_format"
    return "sampling" if any(name in text for name in _SAMPLING) else None


def retry_after(error: BaseException, now: datetime) -> float | None:
    """Return the seconds after which the provider wants to be asked again, if it says so in a header."""
    for beneath in chain(error):
        headers: Any = getattr(getattr(beneath, "response", None), "headers", None)
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


def credentials(provider: str) -> str:
    """Name what a provider is told who asks by."""
    if provider == "aws_bedrock":
        return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the role that the pod assumes"
    return "LLM_API_KEY"
