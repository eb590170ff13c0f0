"""An embedder in front of another that remembers the latest texts: agents repeat themselves."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from memsys_api.ports import Embedder, Vectors

CACHE_BYTES = 32 * 1024 * 1024


class CachedEmbedder:
    """Least-recently-used and bounded by the bytes of its vectors; the keys are digests, so no text is kept."""

    def __init__(self, inner: Embedder, *, capacity_bytes: int = CACHE_BYTES) -> None:
        self._inner = inner
        self.provider = inner.provider
        self.model = inner.model
        self.dimensions = inner.dimensions
        self._capacity = max(1, capacity_bytes // (4 * inner.dimensions))
        self._vectors: OrderedDict[bytes, Vectors] = OrderedDict()

    @property
    def size(self) -> int:
        """How many texts it knows the vectors of."""
        return len(self._vectors)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """As :meth:`memsys_api.ports.Embedder.embed`; a text that occurs twice in one call is embedded once."""
        keys = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        found = {key: vector for key in keys if (vector := self._look_up(key)) is not None}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            vectors = await self._inner.embed(list(missing.values()))
            for key, vector in zip(missing, vectors, strict=True):
                found[key] = vector
                self._remember(key, vector)
        return np.stack([found[key] for key in keys]) if keys else np.empty((0, self.dimensions), np.float32)

    def forget(self) -> None:
        """Drop all vectors; one embedding under way may still bring its own."""
        self._vectors.clear()
        self._inner.forget()

    async def close(self) -> None:
        await self._inner.close()

    def _look_up(self, key: bytes) -> Vectors | None:
        vector = self._vectors.get(key)
        if vector is not None:
            self._vectors.move_to_end(key)
        return vector

    def _remember(self, key: bytes, vector: Vectors) -> None:
        self._vectors[key] = vector.copy()  # a row of a batch would keep the whole batch alive
        self._vectors.move_to_end(key)
        while len(self._vectors) > self._capacity:
            self._vectors.popitem(last=False)
