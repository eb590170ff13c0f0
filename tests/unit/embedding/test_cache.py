"""The cache: one call for a repeated text, bounded, and never a wrong vector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.embedding.cache import CachedEmbedder
from memsys_api.ports import EmbedderUnavailable, Vectors


class Counting:
    provider, model, dimensions = "test", "test", 2

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.away = False
        self.closed = False

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if self.away:
            raise EmbedderUnavailable("away")
        self.asked.append(list(texts))
        return np.array([[len(text), sum(map(ord, text))] for text in texts], np.float32).reshape(-1, 2)

    async def close(self) -> None:
        self.closed = True


async def test_repeated_texts_are_embedded_once() -> None:
    inner = Counting()
    cached = CachedEmbedder(inner)
    first = await cached.embed(["a", "bb", "a"])
    assert first.tolist() == [[1, 97], [2, 196], [1, 97]]
    assert (await cached.embed(["bb", "ccc"])).tolist() == [[2, 196], [3, 297]]
    assert inner.asked == [["a", "bb"], ["ccc"]]
    assert (await cached.embed([])).shape == (0, 2)
    await cached.close()
    assert inner.closed


async def test_the_least_recently_used_goes_first() -> None:
    inner = Counting()
    cached = CachedEmbedder(inner, capacity_bytes=2 * 4 * 2)  # two vectors
    await cached.embed(["a"])
    await cached.embed(["b"])
    await cached.embed(["a"])
    await cached.embed(["c"])  # b goes
    await cached.embed(["a"])
    assert inner.asked == [["a"], ["b"], ["c"]]
    await cached.embed(["b"])
    assert inner.asked[-1] == ["b"]


async def test_a_failure_is_not_remembered() -> None:
    inner = Counting()
    cached = CachedEmbedder(inner)
    inner.away = True
    with pytest.raises(EmbedderUnavailable):
        await cached.embed(["a"])
    inner.away = False
    assert (await cached.embed(["a"])).tolist() == [[1, 97]]


@given(st.lists(st.lists(st.text(max_size=3), max_size=6), max_size=6), st.integers(0, 64))
async def test_always_the_vectors_of_the_texts(calls: list[list[str]], capacity: int) -> None:
    cached, plain = CachedEmbedder(Counting(), capacity_bytes=capacity), Counting()
    for texts in calls:
        assert (await cached.embed(texts)).tolist() == (await plain.embed(texts)).tolist()
