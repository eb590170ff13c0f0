"""The embedder that needs no key and no network: all-MiniLM-L6-v2 inside this process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from memsys_api.embedding import model_files
from memsys_api.embedding.cpu import available_cpus
from memsys_api.embedding.lanes import Lanes
from memsys_api.embedding.minilm import MiniLM
from memsys_api.ports import EmbedderRejected, Vectors


class BuiltinEmbedder:
    provider = "builtin"
    model = model_files.MODEL_NAME
    dimensions = model_files.DIMENSIONS

    def __init__(self, model: MiniLM) -> None:
        self._lanes = Lanes(model.encode)

    @classmethod
    async def load(
        cls, directory: str | Path | None, *, model: str | None = None, dimensions: int | None = None
    ) -> BuiltinEmbedder:
        """Read the model's files (about 90 MB) and warm it up, in a thread.

        Raises :class:`EmbedderRejected` when the files are missing or not whole, or when another model or
        another number of dimensions is asked for than the built-in model has.
        """
        if model not in (None, "", cls.model, f"sentence-transformers/{cls.model}"):
            raise EmbedderRejected(
                f"EMBEDDER_MODEL={model}: the builtin embedder is {cls.model}; leave the model out, "
                "or choose another EMBEDDER_PROVIDER"
            )
        if dimensions not in (None, cls.dimensions):
            raise EmbedderRejected(
                f"EMBEDDER_DIMENSIONS={dimensions}: the builtin embedder has {cls.dimensions}; leave it out"
            )
        return cls(await asyncio.to_thread(_load, directory))

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        return await self._lanes.encode(texts)

    def forget(self) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        await self._lanes.close()


def _load(directory: str | Path | None) -> MiniLM:
    try:
        files = model_files.locate(directory)
    except model_files.ModelMissing as error:
        raise EmbedderRejected(str(error)) from error
    model = MiniLM(files, threads=available_cpus())
    model.encode(["warm-up"])
    return model
