"""What went wrong at a provider, in the two words of the port: try again later, or mend something first. Pure."""

from __future__ import annotations

from memsys_api.ports import EmbedderError, EmbedderRejected, EmbedderUnavailable

LATER = frozenset({408, 409, 425, 429})  # beside all 5xx
DETAIL_CHARACTERS = 300


def translate(error: Exception, provider: str, model: str | None) -> EmbedderError:
    """Return the port's error for ``error``. Status codes and connection errors decide, not the library."""
    if isinstance(error, EmbedderError):
        return error
    who = f"{provider} model {model}" if model else provider
    if isinstance(error, ImportError):
        return EmbedderRejected(f"EMBEDDER_PROVIDER={provider} needs a package that is not installed: {error}")
    status = _status(error)
    if status in (401, 403):  # the body may repeat the key
        return EmbedderRejected(f"{who} refused the key (HTTP {status}): correct EMBEDDER_API_KEY")
    if status is not None:
        text = f"{who} answered HTTP {status}: {_detail(error)}"
        return EmbedderUnavailable(text) if status in LATER or status >= 500 else EmbedderRejected(text)
    if isinstance(error, TimeoutError | ConnectionError) or _is_transport_error(error):
        return EmbedderUnavailable(f"{who} does not answer: {_detail(error)}")
    return EmbedderRejected(f"{who}: {_detail(error)}")


def _status(error: Exception) -> int | None:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) and status >= 400 else None


def _is_transport_error(error: BaseException) -> bool:
    """Connection failures of httpx, and of the clients that wrap it (OpenAI's, Ollama's), by their base classes."""
    names = {base.__name__ for base in type(error).__mro__}
    return bool(names & {"TransportError", "APIConnectionError"})


def _detail(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= DETAIL_CHARACTERS else text[:DETAIL_CHARACTERS] + "…"
