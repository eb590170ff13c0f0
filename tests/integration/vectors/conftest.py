"""External vector indexes by their real clients, against servers scripted from their public protocols."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.scripted_http import ScriptedServer
from tests.support.scripted_pinecone import ScriptedPinecone
from tests.support.scripted_qdrant import ScriptedQdrant

KEY = "a-key-of-the-index"


@dataclass
class Store:
    """A scripted store, by what the tests say of all of them."""

    name: str
    server: ScriptedQdrant | ScriptedPinecone

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "VECTOR_STORE": self.name,
            "VECTOR_STORE_URL": self.server.url,
            "VECTOR_STORE_API_KEY": KEY,
            "VECTOR_STORE_TIMEOUT_SECONDS": 1,
            "VECTOR_SEARCH_TIMEOUT_SECONDS": 0.3,
        }

    def payloads(self) -> dict[str, dict[str, Any]]:
        """What is held beside the vectors, by memory."""
        if isinstance(self.server, ScriptedQdrant):
            held = [point for c in self.server.collections.values() for point in c["points"].values()]
            return {point["payload"]["memory_id"]: point["payload"] for point in held}
        held = [vector for space in self.server.vectors.values() for vector in space.values()]
        return {vector["metadata"]["memory_id"]: vector["metadata"] for vector in held}

    def lose_everything(self) -> None:
        if isinstance(self.server, ScriptedQdrant):
            self.server.collections.clear()
        else:
            self.server.indexes.clear()
            self.server.vectors.clear()

    def searches(self) -> int:
        return len(self.server.calls_of("POST", "query"))

    def reborn(self) -> ScriptedServer:
        """The same store on the same port, after :meth:`ScriptedServer.close`."""
        fresh = type(self.server)(self.server.port, key=KEY)
        for name in ("collections", "indexes", "vectors"):
            if hasattr(self.server, name):
                setattr(fresh, name, getattr(self.server, name))
        self.server = fresh
        return fresh


@pytest.fixture(params=["qdrant", "pinecone"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    server = ScriptedQdrant(key=KEY) if request.param == "qdrant" else ScriptedPinecone(key=KEY)
    with server:
        yield Store(request.param, server)
