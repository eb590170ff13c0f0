"""Erasure from a real Neo4j, seen in a dump of everything that it holds."""

from __future__ import annotations

from typing import Any

import neo4j

from memsys_api.sinks.graph import Neo4jSink
from tests.support.neo4j_server import Neo4jServer

from ..conftest import Fleet
from ..support.graph_queue import settled
from ..support.waiting import until

MARK = "zebrafinch7193"


def _dump(server: Neo4jServer) -> str:
    with neo4j.GraphDatabase.driver(server.uri, auth=(server.user, server.password)) as driver:
        nodes, _, _ = driver.execute_query("MATCH (n) RETURN labels(n) AS labels, properties(n) AS properties")
        edges, _, _ = driver.execute_query("MATCH ()-[r]->() RETURN type(r) AS type, properties(r) AS properties")
    return str([record.data() for record in (*nodes, *edges)]).lower()


async def test_a_user_is_gone_from_the_graph(fleet: Fleet, server: Neo4jServer, project: str) -> None:
    sink: Any = Neo4jSink(server.uri, server.user, server.password)
    header = {"X-Memsys-Project": project}
    async with fleet.replica(sink=sink) as api:

        async def add(text: str, user: str) -> str:
            body = {"messages": [{"role": "user", "content": text, "name": user}], "user_id": user}
            answer = await api.client.post("/memories", json=body, headers=header)
            return str(answer.json()["results"][0]["id"])

        one = await add(f"Meet {MARK.title()}. {MARK.title()} lives in Rome", "Ann")
        await api.client.put(f"/memories/{one}", json={"text": f"{MARK.title()} lives in Paris"}, headers=header)
        two = await add("Bob lives in Rome", "Bob")
        await settled(api, headers=header)
        assert MARK in _dump(server)
        answer = await api.client.post("/erasures", json={"user_id": "Ann"}, headers=header)

        async def done() -> bool:
            found = await api.client.get(f"/erasures/{answer.json()['id']}", headers=header)
            return bool(found.json()["state"] == "done")

        await until("it is erased", done, 60)
        left = _dump(server)
        assert MARK not in left
        assert "'ann'" not in left
        assert two in left
        receipt = (await api.client.get(f"/erasures/{answer.json()['id']}", headers=header)).json()["receipt"]
        assert receipt["verified"]["graph"] == {"memories": 0}
        assert {r["where"] for r in receipt["remains"]} >= {"the graph's transaction logs", "PostgreSQL's tables"}
