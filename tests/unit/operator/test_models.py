from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_operator import models
from memsys_operator.errors import Rejected


def choose(**asked: Any) -> models.Embedding:
    given_spec = {"provider": "openai", "model": None, "dimensions": None, "precision": "halfvec", "index": "auto"}
    return models.choose(**{**given_spec, **asked})


@pytest.mark.parametrize(
    ("provider", "model", "dimensions"),
    [
        ("builtin", None, 384),
        ("builtin", "all-MiniLM-L6-v2", 384),
        ("openai", "text-embedding-3-small", 1536),
        ("openai", "text-embedding-3-large", 3072),
        ("openai", "text-embedding-ada-002", 1536),
        ("ollama", "nomic-embed-text", 768),
        ("ollama", "nomic-embed-text:latest", 768),
        ("ollama", "mxbai-embed-large", 1024),
        ("ollama", "qwen3-embedding:0.6b", 1024),
        ("ollama", "qwen3-embedding:8b", 4096),
        ("ollama", "qwen3-embedding:latest", 4096),
        ("ollama", "qwen3-embedding:0.6b-q8_0", 1024),
        ("ollama", "Qwen3-Embedding:4B-q4_K_M", 2560),
        ("ollama", "granite-embedding:278m-fp16", 768),
        ("ollama", "granite-embedding:30m-fp16", 384),
        ("ollama", "snowflake-arctic-embed:33m-s-fp16", 384),
        ("ollama", "snowflake-arctic-embed:137m-m-long-fp16", 768),
        ("ollama", "snowflake-arctic-embed:335m-l-fp16", 1024),
        ("ollama", "registry.example:5000/team/bge-m3:567m-fp16", 1024),
        ("ollama", "nomic-embed-text:v1.5", 768),
        ("openai", "BAAI/bge-m3", 1024),
        ("openai", "sentence-transformers/all-MiniLM-L6-v2", 384),
        ("openai", "embed-english-v3.0", 1024),
        ("openai", "voyage-3-large", 1024),
        ("openai", "gemini-embedding-001", 3072),
        ("openai", "mistral-embed", 1024),
        ("openai", "amazon.titan-embed-text-v2:0", 1024),
    ],
)
def test_a_known_model_needs_no_dimensions(provider: str, model: str | None, dimensions: int) -> None:
    assert choose(provider=provider, model=model).dimensions == dimensions


def test_an_unknown_model_needs_dimensions_and_the_message_says_where() -> None:
    with pytest.raises(Rejected, match=r"spec\.embedder\.dimensions.*home-made.*set spec\.embedder\.dimensions"):
        choose(model="home-made")
    assert choose(model="home-made", dimensions=700).dimensions == 700


@pytest.mark.parametrize(
    ("model", "dimensions"),
    [
        ("snowflake-arctic-embed:s", 384),
        ("snowflake-arctic-embed:m", 768),
        ("snowflake-arctic-embed:m-long-fp16", 768),
        ("granite-embedding:311m", 768),
        ("qwen3-embedding:0.6base", 1024),
        ("bge-m3:home-made", 512),
    ],
)
def test_another_tag_of_a_known_model_may_have_another_size_and_its_dimensions_are_believed(
    model: str, dimensions: int
) -> None:
    with pytest.raises(Rejected, match=rf"{model} is not a model whose size is known here; set spec\.embedder\.dim"):
        choose(provider="ollama", model=model)
    assert choose(provider="ollama", model=model, dimensions=dimensions).dimensions == dimensions


def test_a_variant_of_a_tag_is_held_to_the_size_of_the_tag() -> None:
    with pytest.raises(Rejected, match=r"2048 contradicts qwen3-embedding:0\.6b-fp16, which returns 1 to 1024"):
        choose(provider="ollama", model="qwen3-embedding:0.6b-fp16", dimensions=2048)


def test_a_provider_without_its_model_is_rejected() -> None:
    with pytest.raises(Rejected, match=r"spec\.embedder\.model"):
        choose()


def test_another_model_for_the_builtin_embedder_is_rejected() -> None:
    with pytest.raises(Rejected, match=r"spec\.embedder\.model.*all-MiniLM-L6-v2"):
        choose(provider="builtin", model="bge-m3")


@pytest.mark.parametrize(
    ("model", "dimensions", "allowed"),
    [
        ("text-embedding-3-small", 512, True),
        ("text-embedding-3-small", 1537, False),
        ("text-embedding-ada-002", 512, False),
        ("bge-m3", 1024, True),
        ("bge-m3", 512, False),
        ("embed-v4.0", 256, True),
        ("embed-v4.0", 300, False),
    ],
)
def test_dimensions_that_contradict_the_model_are_rejected_with_the_choices(
    model: str, dimensions: int, allowed: bool
) -> None:
    if allowed:
        assert choose(model=model, dimensions=dimensions).dimensions == dimensions
        return
    with pytest.raises(Rejected, match=rf"spec\.embedder\.dimensions: {dimensions} contradicts {model}.*set it to"):
        choose(model=model, dimensions=dimensions)


@pytest.mark.parametrize(
    ("dimensions", "precision", "asked", "settled", "words"),
    [
        (384, "halfvec", "auto", "auto", "exact within a small scope, HNSW"),
        (2000, "float32", "auto", "auto", "HNSW"),
        (2001, "float32", "auto", "exact", "HNSW is off because it is limited to 2000"),
        (2001, "halfvec", "auto", "auto", "HNSW"),
        (4000, "halfvec", "hnsw", "hnsw", "as spec.vectorStore.index asks"),
        (4001, "halfvec", "auto", "exact", "HNSW is off because it is limited to 4000"),
        (384, "halfvec", "exact", "exact", "as spec.vectorStore.index asks"),
        (9000, "float32", "exact", "exact", "as spec.vectorStore.index asks"),
    ],
)
def test_the_index_follows_dimensions_and_precision(
    dimensions: int, precision: str, asked: str, settled: str, words: str
) -> None:
    chosen = choose(model="home-made", dimensions=dimensions, precision=precision, index=asked)
    assert (chosen.index, chosen.precision) == (settled, precision)
    assert words in chosen.reason


@pytest.mark.parametrize(
    ("dimensions", "precision", "remedy"),
    [(3072, "float32", "halfvec"), (5000, "float32", "fewer dimensions"), (5000, "halfvec", "fewer dimensions")],
)
def test_an_index_that_cannot_be_built_is_rejected_when_insisted_on(
    dimensions: int, precision: str, remedy: str
) -> None:
    with pytest.raises(Rejected, match=rf"spec\.vectorStore\.index: hnsw.*{remedy}"):
        choose(model="home-made", dimensions=dimensions, precision=precision, index="hnsw")


@given(
    dimensions=st.integers(1, models.MAX_DIMENSIONS),
    precision=st.sampled_from(["halfvec", "float32"]),
    index=st.sampled_from(["auto", "exact"]),
)
def test_auto_never_promises_an_index_that_pgvector_cannot_build(dimensions: int, precision: Any, index: Any) -> None:
    chosen = choose(model="home-made", dimensions=dimensions, precision=precision, index=index)
    assert chosen.index == "exact" or dimensions <= models.HNSW_LIMIT[chosen.precision]
    assert chosen.reason.startswith(f"{dimensions} dimensions in {precision}:")


def test_every_known_model_can_be_stored() -> None:
    assert all(1 <= known.dimensions <= models.MAX_DIMENSIONS for known in models.KNOWN_MODELS.values())
    assert all(name == name.lower() for name in models.KNOWN_MODELS), "the look-up is by lower-case name"


def test_the_identity_tells_providers_models_and_dimensions_apart() -> None:
    small = choose(model="text-embedding-3-small")
    assert small.identity == "openai/text-embedding-3-small/1536"
    assert choose(model="text-embedding-3-small", dimensions=512).identity != small.identity
    assert choose(model="text-embedding-3-small", precision="float32").identity == small.identity
