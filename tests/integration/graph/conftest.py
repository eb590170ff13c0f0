"""One Neo4j for all graph tests; every test works in a project of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from memsys_api.sinks.graph import Neo4jSink
from tests.support.neo4j_server import Neo4jServer, neo4j_server

from ..conftest import Fleet, Replica
from .support import ANY_NEO4J


@pytest.fixture(scope="session")
def server() -> Iterator[Neo4jServer]:
    with neo4j_server() as running:
        yield running


@pytest.fixture
async def sink(server: Neo4jServer) -> AsyncIterator[Neo4jSink]:
    """A prepared sink. Its driver belongs to the event loop of the test."""
    made = Neo4jSink(server.uri, server.user, server.password)
    await made.prepare()
    yield made
    await made.close()


@pytest.fixture
async def api(fleet: Fleet, sink: Neo4jSink) -> AsyncIterator[Replica]:
    """A replica on a real graph. Its project is the test's own: all of them share one Neo4j."""
    async with fleet.replica(sink=sink, GRAPH_STORE="neo4j", **ANY_NEO4J) as replica:  # type: ignore[arg-type]
        replica.client.headers["X-Memsys-Project"] = f"test-{uuid4().hex[:12]}"
        yield replica


@pytest.fixture
def project() -> str:
    return f"test-{uuid4().hex[:12]}"
