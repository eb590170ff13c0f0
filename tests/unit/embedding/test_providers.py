"""mem0's embedders against a server that speaks the real protocols: right answers, and every way to fail."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from memsys_api import embedding
from memsys_api.embedding.provider_settings import ProviderSettings, mem0_config
from memsys_api.embedding.providers import ProviderEmbedder
from memsys_api.ports import EmbedderRejected, EmbedderUnavailable
from tests.support.scripted_llm import Reply, ScriptedLLM


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM(dimensions=8) as server:
        yield server


def openai(llm: ScriptedLLM, **changes: Any) -> ProviderSettings:
    return ProviderSettings(
        **{
            "provider": "openai",
            "model": "some-model",
            "base_url": llm.openai_url,
            "api_key": "sk-secret",
            "dimensions": None,
            **changes,
        }
    )


async def test_openai_batches_and_normalises(llm: ScriptedLLM) -> None:
    embedder = await ProviderEmbedder.connect(openai(llm))
    assert (embedder.provider, embedder.model, embedder.dimensions) == ("openai", "some-model", 8)
    before = len(llm.calls)
    vectors = await embedder.embed([f"text {n}" for n in range(250)])
    assert vectors.shape == (250, 8)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert sorted(len(call.body["input"]) for call in llm.calls[before:]) == [50, 100, 100]
    assert np.array_equal(vectors[7], (await embedder.embed(["text 7"]))[0])
    assert llm.calls[-1].headers["authorization"] == "Bearer sk-secret"
    await embedder.close()


async def test_ollama_by_its_own_setting(llm: ScriptedLLM) -> None:
    settings = SimpleNamespace(
        embedder_provider="ollama",
        embedder_model="nomic-embed-text",
        embedder_dimensions=8,
        embedder_base_url=None,
        embedder_api_key=SecretStr("unused"),
        model_dir=None,
        ollama_base_url=llm.url,
    )
    embedder = await embedding.create(settings)
    assert (await embedder.embed(["one", "two"])).shape == (2, 8)
    assert llm.refused == []
    await embedder.close()


async def test_a_missing_ollama_model_is_never_downloaded(llm: ScriptedLLM) -> None:
    with pytest.raises(EmbedderRejected, match="ollama pull mxbai-embed-large"):
        await ProviderEmbedder.connect(ProviderSettings("ollama", "mxbai-embed-large", base_url=llm.url))
    assert llm.refused == []  # it was never asked to pull


async def test_other_dimensions_name_both_numbers(llm: ScriptedLLM) -> None:
    with pytest.raises(EmbedderRejected, match=r"8 dimensions.*set to 1536.*EMBEDDER_DIMENSIONS"):
        await ProviderEmbedder.connect(openai(llm, dimensions=1536))


@pytest.mark.parametrize(
    ("status", "expected", "text"),
    [
        (401, EmbedderRejected, "EMBEDDER_API_KEY"),
        (404, EmbedderRejected, "404"),
        (400, EmbedderRejected, "400"),
        (429, EmbedderUnavailable, "429"),
        (500, EmbedderUnavailable, "500"),
        (503, EmbedderUnavailable, "503"),
    ],
)
async def test_answers_that_are_errors(llm: ScriptedLLM, status: int, expected: type[Exception], text: str) -> None:
    llm.answer = lambda _: Reply(status=status, error="key sk-secret is wrong" if status == 401 else "no")
    with pytest.raises(expected, match=text) as caught:
        await ProviderEmbedder.connect(openai(llm))
    assert "sk-secret" not in str(caught.value)


async def test_a_server_that_hangs_up_or_is_slow(llm: ScriptedLLM) -> None:
    embedder = await ProviderEmbedder.connect(openai(llm), call_seconds=2.0)
    llm.answer = lambda _: Reply(hang_up=True)
    with pytest.raises(EmbedderUnavailable):
        await embedder.embed(["text"])
    llm.answer = lambda _: Reply(delay=20)
    with pytest.raises(EmbedderUnavailable, match="does not answer"):
        await embedder.embed(["text"])
    llm.answer = None
    assert (await embedder.embed(["text"])).shape == (1, 8)
    await embedder.close()


async def test_nobody_listens() -> None:
    with pytest.raises(EmbedderUnavailable, match="does not answer"):
        await ProviderEmbedder.connect(
            ProviderSettings("openai", "m", base_url="http://127.0.0.1:9/v1", api_key="k"), call_seconds=5.0
        )


@pytest.mark.parametrize(
    "raw",
    [
        '{"object": "list", "data": []}',
        '{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0,0,0,0,0,0,0,0]}],"model":"m"}',
        "not json at all",
    ],
)
async def test_answers_that_lie(llm: ScriptedLLM, raw: str) -> None:
    embedder = await ProviderEmbedder.connect(openai(llm))
    llm.answer = lambda _: Reply(raw=raw)
    with pytest.raises(EmbedderRejected):
        await embedder.embed(["text"])
    await embedder.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ProviderSettings("fastembed"), "downloads its model"),
        (ProviderSettings("langchain"), "Python object"),
        (ProviderSettings("huggingface"), "EMBEDDER_BASE_URL"),
        (ProviderSettings("ollama"), "EMBEDDER_BASE_URL"),
        (ProviderSettings("vertexai", base_url="http://x"), "takes no EMBEDDER_BASE_URL"),
    ],
)
def test_settings_that_cannot_work(settings: ProviderSettings, message: str) -> None:
    with pytest.raises(EmbedderRejected, match=message):
        mem0_config(settings)


async def test_an_unknown_provider_and_a_missing_package() -> None:
    with pytest.raises(EmbedderRejected, match="nonsense"):
        await ProviderEmbedder.connect(ProviderSettings("nonsense"))
    with pytest.raises(EmbedderRejected, match="not installed"):
        await ProviderEmbedder.connect(ProviderSettings("vertexai", "m"))


def test_dimensions_are_asked_for_only_where_models_offer_them() -> None:
    assert mem0_config(ProviderSettings("openai", "text-embedding-3-large", 256))["embedding_dims"] == 256
    assert "embedding_dims" not in mem0_config(ProviderSettings("openai", "text-embedding-ada-002", 1536))
    assert "embedding_dims" not in mem0_config(ProviderSettings("ollama", "m", 768, "http://x"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embedder_dimensions": 768}, "768.*384"),
        ({"embedder_model": "bge-m3"}, "bge-m3.*all-MiniLM-L6-v2"),
        ({"model_dir": "/nonexistent"}, "export_minilm"),
    ],
)
async def test_the_builtin_model_refuses_what_it_is_not(changes: dict[str, Any], message: str) -> None:
    settings = {
        "embedder_provider": "builtin",
        "embedder_model": None,
        "embedder_dimensions": None,
        "embedder_base_url": None,
        "embedder_api_key": None,
        "model_dir": None,
        "ollama_base_url": None,
        **changes,
    }
    with pytest.raises(EmbedderRejected, match=message):
        await embedding.create(SimpleNamespace(**settings))
