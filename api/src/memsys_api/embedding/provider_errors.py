"""What went wrong at a provider, in the two words of the port: try again later, or mend something first. Pure."""

from __future__ import annotations

from memsys_api.causes import cause
from memsys_api.embedding.provider_settings import missing_package
from memsys_api.ports import EmbedderError, EmbedderRejected, EmbedderUnavailable
from memsys_api.vendors.errors import LATER, is_away, lacks_credentials, status_of


def translate(error: Exception, provider: str, model: str | None) -> EmbedderError:
    """Return the port's error for ``error``. Status codes and connection errors decide, not the library."""
    if isinstance(error, EmbedderError):
        return error
    who = f"{provider} model {model}" if model else provider
    if isinstance(error, ImportError):
        return missing_package(provider, error)
    status = status_of(error)
    if status in (401, 403):  # the body may repeat the key
        return EmbedderRejected(f"{who} refused the key (HTTP {status}): correct {_credentials(provider)}")
    if status is not None:
        text = f"{who} answered HTTP {status}: {cause(error)}"
        return EmbedderUnavailable(text) if status in LATER or status >= 500 else EmbedderRejected(text)
    if is_away(error):
        return EmbedderUnavailable(f"{who} does not answer: {cause(error)}")
    if lacks_credentials(error):
        return EmbedderRejected(f"{who} has no credentials: set {_credentials(provider)}")
    return EmbedderRejected(f"{who}: {cause(error)}")


def _credentials(provider: str) -> str:
    if provider == "aws_bedrock":
        return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the role that the pod assumes"
    return "EMBEDDER_API_KEY"
