from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from memsys_api.inference.provider_errors import refused_parameter, translate
from memsys_api.inference.types import InferenceMalformed, InferenceRejected, InferenceUnavailable

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class HttpError(Exception):
    def __init__(self, status: int, text: str = "scripted", headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status_code = status
        self.response = SimpleNamespace(headers=headers or {}, status_code=status)


def said(error: BaseException, provider: str = "openai") -> InferenceUnavailable | InferenceRejected:
    translated = translate(error, provider, "m", now=NOW)
    assert isinstance(translated, InferenceUnavailable | InferenceRejected)
    return translated


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_later(status: int) -> None:
    assert isinstance(said(HttpError(status)), InferenceUnavailable)


@pytest.mark.parametrize(("status", "setting"), [(401, "LLM_API_KEY"), (403, "LLM_API_KEY"), (404, "LLM_MODEL")])
def test_settings(status: int, setting: str) -> None:
    error = said(HttpError(status))
    assert isinstance(error, InferenceRejected)
    assert error.subject == "settings"
    assert setting in str(error)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_input(status: int) -> None:
    error = said(HttpError(status))
    assert isinstance(error, InferenceRejected)
    assert error.subject == "input"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Fri, 01 May 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri, 01 May 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    error = said(HttpError(429, headers=headers))
    assert isinstance(error, InferenceUnavailable)
    assert error.retry_after == seconds


def test_an_empty_account_is_no_rate_limit() -> None:
    assert isinstance(said(HttpError(429, "You exceeded your quota: insufficient_quota")), InferenceRejected)


def test_a_refused_key_is_not_repeated() -> None:
    assert "sk-123" not in str(said(HttpError(401, "Incorrect API key provided: sk-123")))


def test_status_and_transport_errors_are_found_beneath_other_errors() -> None:
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = HttpError(503)
    assert "HTTP 503" in str(said(wrapped))
    assert "does not answer" in str(said(ConnectionRefusedError("no")))
    assert "does not answer" in str(said(TimeoutError()))


def test_aws_keeps_the_status_elsewhere() -> None:
    error = Exception("ThrottlingException")
    error.response = {"ResponseMetadata": {"HTTPStatusCode": 429}}  # type: ignore[attr-defined]
    assert isinstance(said(error, "aws_bedrock"), InferenceUnavailable)


def test_remedies() -> None:
    assert "ollama pull m" in str(said(HttpError(404, "model not found"), "ollama"))
    assert "LLM_BASE_URL=https://api.groq.com/openai/v1" in str(said(ImportError("no groq"), "groq"))


def test_what_is_translated_already_stays_and_what_is_unknown_is_unavailable() -> None:
    mine = InferenceMalformed("x")
    assert translate(mine, "openai", "m", now=NOW) is mine
    assert isinstance(said(KeyError("choices")), InferenceUnavailable)


@pytest.mark.parametrize("status", [400, 402, 404, 429, 500])
def test_the_providers_own_words_are_never_repeated(status: int) -> None:
    error = str(said(HttpError(status, "https://x/?key=sk-123 failed on: Zoe moved to Bonn")))
    assert "sk-123" not in error
    assert "Zoe" not in error
    assert str(status) in error


def test_refused_parameters() -> None:
    assert refused_parameter(HttpError(400, "Unsupported value: 'temperature' does not support 0.1")) == "sampling"
    assert (
        refused_parameter(HttpError(400, "'response_format' of type json_object is not supported")) == "response_format"
    )
    assert refused_parameter(HttpError(400, "context length exceeded")) is None
    assert refused_parameter(HttpError(500, "temperature")) is None
