"""Every embedder that mem0 knows: chosen by settings alone, or refused with the package and the way round it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from memsys_api.embedding.provider_settings import ProviderSettings
from memsys_api.embedding.providers import ProviderEmbedder
from memsys_api.ports import EmbedderRejected, EmbedderUnavailable
from memsys_api.vendors.mem0_import import embedder_factory
from tests.support.scripted_llm import Reply, ScriptedLLM

OFFERED = {  # the path of EMBEDDER_BASE_URL, the model, and the dimensions that the scripted server answers
    "openai": ("/v1", "m", 8),
    "ollama": ("", "nomic-embed-text", 8),
    "together": ("", "m", 8),
    "lmstudio": ("/v1", "m", 8),
    "gemini": ("", "gemini-embedding-001", 768),
    "aws_bedrock": ("", "amazon.titan-embed-text-v2:0", 8),
}
ABSENT = {"huggingface": "sentence_transformers", "vertexai": "vertexai", "azure_openai": "azure"}
REFUSED = {"fastembed": "downloads its model", "langchain": "Python object"}


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM(dimensions=8) as server:
        yield server


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's clients are told who asks by the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASCRIPTED")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "scripted")


def settings(provider: str, llm: ScriptedLLM) -> ProviderSettings:
    path, model, _ = OFFERED.get(provider, ("", "m", 8))
    key = None if provider == "aws_bedrock" else "sk-scripted"
    return ProviderSettings(provider, model, base_url=llm.url + path, api_key=key)


def test_every_name_that_mem0_knows_is_here() -> None:
    assert set(embedder_factory().provider_to_class) == {*OFFERED, *ABSENT, *REFUSED}


@pytest.mark.parametrize("provider", OFFERED)
async def test_settings_alone_reach_it(provider: str, llm: ScriptedLLM) -> None:
    embedder = await ProviderEmbedder.connect(settings(provider, llm))
    assert embedder.dimensions == OFFERED[provider][2]
    vectors = await embedder.embed([f"text {n}" for n in range(20)])
    assert vectors.shape == (20, embedder.dimensions)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.array_equal(vectors[7], (await embedder.embed(["text 7"]))[0])
    assert llm.refused == []
    await embedder.close()


@pytest.mark.parametrize("provider", OFFERED)
@pytest.mark.parametrize(
    ("status", "expected"),
    [(503, EmbedderUnavailable), (429, EmbedderUnavailable), (400, EmbedderRejected), (401, EmbedderRejected)],
)
async def test_away_and_refused_are_told_apart(
    provider: str, status: int, expected: type[Exception], llm: ScriptedLLM
) -> None:
    embedder = await ProviderEmbedder.connect(settings(provider, llm))
    llm.answer = lambda _: Reply(status=status, headers={"retry-after": "0"})
    with pytest.raises(expected, match=str(status)):
        await embedder.embed(["text"])
    await embedder.close()


@pytest.mark.parametrize("provider", ["gemini", "aws_bedrock"])
async def test_nobody_listens(provider: str, llm: ScriptedLLM) -> None:
    unheard = replace(settings(provider, llm), base_url="http://127.0.0.1:9")
    with pytest.raises(EmbedderUnavailable, match="does not answer"):
        await ProviderEmbedder.connect(unheard, call_seconds=10)


@pytest.mark.parametrize("provider", OFFERED)
async def test_a_server_that_hangs_up(provider: str, llm: ScriptedLLM) -> None:
    embedder = await ProviderEmbedder.connect(settings(provider, llm))
    llm.answer = lambda _: Reply(hang_up=True)
    with pytest.raises(EmbedderUnavailable, match="does not answer"):
        await embedder.embed(["text"])
    await embedder.close()


async def test_bedrock_without_credentials_names_them(llm: ScriptedLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(EmbedderRejected, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        await ProviderEmbedder.connect(settings("aws_bedrock", llm))


@pytest.mark.parametrize(("provider", "package"), ABSENT.items())
async def test_what_is_not_installed_stops_the_start_with_the_way_round_it(
    provider: str, package: str, llm: ScriptedLLM
) -> None:
    url = None if provider == "vertexai" else llm.url
    with pytest.raises(EmbedderRejected, match=rf"package that is not installed .*{package}") as caught:
        await ProviderEmbedder.connect(ProviderSettings(provider, "m", base_url=url, api_key="k"))
    assert "EMBEDDER_PROVIDER=openai with EMBEDDER_BASE_URL" in str(caught.value)


@pytest.mark.parametrize(("provider", "why"), REFUSED.items())
async def test_what_cannot_be_run_from_settings_is_refused(provider: str, why: str, llm: ScriptedLLM) -> None:
    with pytest.raises(EmbedderRejected, match=why) as caught:
        await ProviderEmbedder.connect(ProviderSettings(provider, "m"))
    assert "EMBEDDER_PROVIDER=openai with EMBEDDER_BASE_URL" in str(caught.value)
