"""The sync reconciler on a real memory API with a real PostgreSQL and Neo4j: the operator finds, reports and mends."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import httpx
import neo4j
import pytest

from tests.faults.support.comparison import apart
from tests.faults.support.nursery import lasting_port, nursery
from tests.integration.support import postgres
from tests.support.neo4j_server import Neo4jServer, neo4j_server

from .support import Operator, System, eventually

DATABASE = "memsys"
SEEN_SECONDS = 180
"""Within which the operator's looks, five seconds apart here, find and mend what they are to find, and Neo4j, just
started, takes its first memories: much longer than any of it takes on a machine that does nothing else."""


@dataclass(frozen=True)
class Memory:
    """The stores behind the API, and the API to a client that may do everything."""

    database: postgres.Server
    graph: Neo4jServer
    client: httpx.Client

    def add(self, *texts: str) -> list[str]:
        messages = [{"role": "user", "content": text} for text in texts]
        answer = self.client.post("/memories", json={"messages": messages, "app_id": "app"})
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["results"]]

    def queue(self) -> tuple[int, int]:
        """Pending and parked."""
        status = self.client.get("/graph/status").json()
        return status["pending"], status["parked"]

    def by_hand(self, statement: LiteralString, **parameters: Any) -> None:
        """Change the graph past the API."""
        with self._driver() as driver:
            driver.execute_query(statement, parameters)

    def in_the_graph(self) -> set[str]:
        with self._driver() as driver:
            return {row["id"] for row in driver.execute_query("MATCH (m:Memory) RETURN m.id AS id").records}

    def apart(self) -> list[str]:
        """What the two stores do not both hold, by an independent comparison."""
        return apart(self.database.url("postgres", DATABASE), self.graph)

    def _driver(self) -> neo4j.Driver:
        return neo4j.GraphDatabase.driver(self.graph.uri, auth=(self.graph.user, self.graph.password))


@contextmanager
def _served(port: int, key: str) -> Iterator[Memory]:
    """The memory API, whose admin key is the one that the operator made."""
    with postgres.server() as database, neo4j_server() as graph, nursery() as children:
        postgres.create_database(database, DATABASE)
        api = children.start(
            port,
            DATABASE_URL=database.url("memsys_app", DATABASE),
            DATABASE_OWNER_URL=database.url("memsys_owner", DATABASE),
            GRAPH_STORE="neo4j",
            NEO4J_URI=graph.uri,
            NEO4J_PASSWORD=graph.password,
            GRAPH_RETRY_BASE_SECONDS="0.05",
            MEMSYS_ADMIN_KEY=key,
        )
        with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
            yield Memory(database, graph, client)


@pytest.fixture
def asking(running: Operator, tmp_path: Path) -> Iterator[Operator]:
    """An operator that asks a memory API of the test's own, in the place of the one that all tests share."""
    running.stop()
    operator = Operator(running.kubeconfig, tmp_path / "operator.log", running.health_port, lasting_port())
    operator.start()
    yield operator
    operator.stop()


@pytest.fixture
def memory(asking: Operator, system: System) -> Iterator[Memory]:
    """A ready system and its API, in sync."""
    system.apply({"sync": {"intervalSeconds": 5, "driftIntervalSeconds": 30}})
    secret = system.wait_child("secret", "admin-key")
    with _served(asking.api_port, base64.b64decode(secret["data"]["key"]).decode()) as served:
        system.make_all_ready()
        system.wait("GraphSynced", "True", "Synced", within=SEEN_SECONDS)
        yield served


@pytest.mark.timeout(1200)
def test_a_memory_that_cannot_be_synced_is_reported_and_holds_nothing_back(memory: Memory, system: System) -> None:
    """Its cause is one that whoever runs Neo4j may make: a constraint of their own."""
    [first] = memory.add("one of a kind")
    eventually("the first one delivered", lambda: memory.queue() == (0, 0), SEEN_SECONDS)
    memory.by_hand("CREATE CONSTRAINT by_hand FOR (m:Memory) REQUIRE (m.app_id, m.text) IS UNIQUE")
    before, poisoned, after = memory.add("before", "one of a kind", "after")

    message = system.wait("GraphSynced", "False", "Parked", within=SEEN_SECONDS)["message"]
    assert message.startswith("1 memories are parked: "), message
    assert "ConstraintValidationFailed" in message
    eventually("the count in the status", lambda: system.object()["status"]["sync"]["parked"] == 1)
    notes = eventually("an event", lambda: [e["note"] for e in system.kubectl.list("event") if e["reason"] == "Parked"])
    assert notes[0].startswith("1 memories are parked")
    assert memory.in_the_graph() == {first, before, after}
    [later] = memory.add("later")
    held = {first, before, after, later}
    eventually("a later one delivered", lambda: memory.in_the_graph() == held, SEEN_SECONDS)
    memory.by_hand("MATCH (m:Memory {id: $id}) DETACH DELETE m", id=before)
    eventually("a difference mended beside it", lambda: memory.in_the_graph() == held, SEEN_SECONDS)
    assert memory.queue() == (0, 1)

    memory.by_hand("DROP CONSTRAINT by_hand")
    assert memory.client.post("/graph/sync").json()["parked"] == 0
    system.wait("GraphSynced", "True", "Synced", within=SEEN_SECONDS)
    assert poisoned in memory.in_the_graph()
    assert memory.apart() == []


@pytest.mark.timeout(1200)
def test_what_is_changed_by_hand_is_found_reported_and_mended_in_every_direction(
    memory: Memory, system: System
) -> None:
    works = [f"Anna Keller works at Company{n} Corp." for n in range(4)]
    changed, missing, renamed, _ = memory.add(*works)
    eventually("all delivered", lambda: memory.queue() == (0, 0), SEEN_SECONDS)
    memory.by_hand("MATCH (m:Memory {id: $id})-[x:MENTIONS]->() SET m.text = 'forged' DELETE x", id=changed)
    memory.by_hand("MATCH (m:Memory {id: $id}) DETACH DELETE m", id=missing)
    memory.by_hand("MATCH (:Memory {id: $id})-[:MENTIONS]->(e) SET e.name = 'Nobody', e.kind = 'ghost'", id=renamed)
    memory.by_hand(
        """CREATE (:Memory {project: 'default', id: $id, version: 1, text: 'nobody said this'})-[:MENTIONS]->
                  (:Entity {project: 'default', key: 'ghost', name: 'Ghost', kind: 'person'})""",
        id=str(uuid4()),
    )
    memory.by_hand("CREATE (:Entity {project: 'default', key: 'alone', name: 'Alone', kind: 'person'})")
    assert memory.apart()

    assert "memories differ" in system.wait("GraphSynced", "False", "Drifted", within=SEEN_SECONDS)["message"]
    assert system.object()["status"]["sync"]["drifted"] > 0
    system.wait("GraphSynced", "True", "Synced", within=SEEN_SECONDS)
    assert memory.apart() == []
    assert {"Drifted", "GraphSynced"} <= {event["reason"] for event in system.kubectl.list("event")}
