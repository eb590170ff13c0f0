"""The peer: mem0ai as a library, storing verbatim, with the same embedder as memsys and the same PostgreSQL.

mem0's keyword part lemmatises with spaCy where its English model is installed. It is not in the locked set, so mem0
matches the words as they stand, as it does by its own fallback.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.locomo import Conversation
from memsys_api.embedding.cpu import available_cpus
from memsys_api.embedding.minilm import MiniLM
from memsys_api.embedding.model_files import DIMENSIONS, locate
from memsys_api.vendors import mem0_import

NAME = f"mem0ai {version('mem0ai')} as a library"
_PROVIDER = "huggingface"  # mem0 knows its providers by name; this one's class is replaced by ours


class SameEmbedder:
    """memsys's built-in model behind mem0's interface, one text a call as mem0 asks."""

    model: MiniLM | None = None

    def __init__(self, config: Any = None) -> None:
        self.config = config
        if SameEmbedder.model is None:
            SameEmbedder.model = MiniLM(locate(None), threads=available_cpus())

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        return self.embed_batch([text])[0]

    def embed_batch(self, texts: Sequence[str], memory_action: str | None = "add") -> list[list[float]]:
        assert SameEmbedder.model is not None  # made by the first
        return [vector.tolist() for vector in SameEmbedder.model.encode(texts)]


class Peer:
    """One mem0 ``Memory``; every conversation is a user of its own. Use :func:`mem0`."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory
        self.add_seconds: list[float] = []
        self.search_seconds: list[float] = []

    def remember(self, conversation: Conversation) -> dict[str, str]:
        """Add every turn, one call each with its speaker in the text; return the turn of each memory's id."""
        turns: dict[str, str] = {}
        for turn in conversation.turns:
            started = time.perf_counter()
            added = self._memory.add(
                [{"role": "user", "content": f"{turn.speaker}: {turn.text}"}],
                user_id=conversation.name,
                run_id=None,
                infer=False,
            )
            self.add_seconds.append(time.perf_counter() - started)
            turns[added["results"][0]["id"]] = turn.id
        return turns

    def search(self, conversation: Conversation, query: str, depth: int) -> list[str]:
        """Return the ids of what mem0 finds, best first."""
        started = time.perf_counter()
        found = self._memory.search(query, filters={"user_id": conversation.name}, top_k=depth, threshold=0.0)
        self.search_seconds.append(time.perf_counter() - started)
        return [result["id"] for result in found["results"]]


@contextmanager
def mem0(url: str, folder: Path) -> Iterator[Peer]:
    """A fresh mem0 on the PostgreSQL at ``url`` (its user may create tables), its history under ``folder``."""
    factory = mem0_import.embedder_factory()
    from mem0 import Memory  # type: ignore[import-untyped]

    factory.provider_to_class[_PROVIDER] = f"{__name__}.{SameEmbedder.__name__}"
    memory = Memory.from_config(
        {
            "embedder": {"provider": _PROVIDER, "config": {}},
            "llm": {"provider": "openai", "config": {"api_key": "unused: infer is false"}},
            "vector_store": {
                "provider": "pgvector",
                "config": {
                    "connection_string": url,
                    "collection_name": f"mem0_{secrets.token_hex(4)}",
                    "embedding_model_dims": DIMENSIONS,
                },
            },
            "history_db_path": str(folder / "history.db"),
        }
    )
    try:
        yield Peer(memory)
    finally:
        memory.close()
