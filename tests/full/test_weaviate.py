"""Weaviate itself, built from its Go module: what a scripted server could not show, because its searches go by gRPC."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest

from memsys_api.model import Embedded, Scope, SinkRecord
from memsys_api.ports import SinkUnavailable
from memsys_api.settings import Settings
from memsys_api.sinks import vectors
from tests.integration.support.postgres import free_port
from tests.integration.support.waiting import until

CLUSTER = Path(__file__).parents[2] / "cluster" / "cluster"


@pytest.fixture
def weaviate(tmp_path: Path) -> Iterator[tuple[str, str, subprocess.Popen[bytes]]]:
    """A server's HTTP and gRPC addresses, and its process."""
    subprocess.run([CLUSTER, "build", "weaviate"], check=True)
    folder = subprocess.run([CLUSTER, "bin"], check=True, capture_output=True, text=True).stdout.strip()
    http, grpc, *inner = (str(free_port()) for _ in range(6))
    names = ("CLUSTER_GOSSIP_BIND_PORT", "CLUSTER_DATA_BIND_PORT", "RAFT_PORT", "RAFT_INTERNAL_RPC_PORT")
    settings = {
        "DEFAULT_VECTORIZER_MODULE": "none", "DISABLE_TELEMETRY": "true", "GO_PROFILING_DISABLE": "true",
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true", "PERSISTENCE_DATA_PATH": str(tmp_path), "GRPC_PORT": grpc,
        "CLUSTER_HOSTNAME": "node1", "CLUSTER_ADVERTISE_ADDR": "127.0.0.1", "RAFT_BOOTSTRAP_EXPECT": "1",
    }  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [f"{folder}/weaviate-server", "--host", "127.0.0.1", "--port", http, "--scheme", "http"],
            env={**os.environ, **settings, **dict(zip(names, inner, strict=True))},
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{http}", f"http://127.0.0.1:{grpc}", process
    finally:
        process.kill()
        process.wait()


async def test_it_is_fed_searched_and_missed(weaviate: tuple[str, str, subprocess.Popen[bytes]]) -> None:
    url, grpc, process = weaviate

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/v1/.well-known/ready").is_success
        except httpx.TransportError:
            return False

    await until("Weaviate is ready", ready, 60)
    numbers = np.random.default_rng(1)
    users = ["Anna Smith", "Smith Anna", "*", "the"]  # equal means equal: no words, no wildcards, no stop words
    held = {
        memory: Embedded(memory, 1, Scope("p", user_id=user), numbers.normal(size=8).astype(np.float32))
        for user in users
        for memory in [uuid4()]
    }
    emptied: list[str] = []

    async def truth(project: str, ids: Sequence[UUID]) -> dict[UUID, Embedded]:
        return {memory: held[memory] for memory in ids if memory in held}

    async def note(target: str) -> None:
        emptied.append(target)

    settings = Settings(
        DATABASE_URL="postgresql://nobody@nowhere/none", MEMSYS_ADMIN_KEY="not-looked-at-here",
        VECTOR_STORE="weaviate", VECTOR_STORE_URL=url, VECTOR_STORE_GRPC_URL=grpc, VECTOR_STORE_TIMEOUT_SECONDS=5,
    )  # fmt: skip
    sink = vectors.create(settings, generation=1, dimensions=8, truth=truth, emptied=note)
    assert sink is not None
    await sink.prepare()
    await sink.prepare()
    assert len(emptied) == 1
    everything = list(held)
    assert await sink.apply([SinkRecord("p", memory, 1, None) for memory in everything]) == {}
    assert await sink.count() == await sink.holding("p", everything) == 4
    for memory, embedded in held.items():
        assert (await sink.nearest(Scope("p"), embedded.vector, 4))[0] == memory
        assert await sink.nearest(embedded.scope, embedded.vector, 4) == [memory]
        assert await sink.nearest(Scope("q"), embedded.vector, 4) == []
    gone = everything[0]
    vector = held.pop(gone).vector
    await sink.apply([SinkRecord("p", gone, 2, None)])
    await sink.apply([SinkRecord("p", gone, 1, None)])  # an add that comes late
    assert gone not in await sink.nearest(Scope("p"), vector, 4)
    assert await sink.holding("p", everything) == 3
    process.kill()
    process.wait()
    with pytest.raises(SinkUnavailable):
        await sink.apply([SinkRecord("p", everything[1], 1, None)])
    assert not await sink.available()
    await sink.close()
