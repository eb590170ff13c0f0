"""Talking to the running system the way agents do: a real MCP client, and Bolt for an independent look at the graph."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import SSETransport, StreamableHttpTransport
from neo4j import GraphDatabase

from .kubectl import System


@asynccontextmanager
async def session(mcp_url: str, key: str, project: str, *, sse: bool = False) -> AsyncIterator[Client[Any]]:
    headers = {"Authorization": f"Bearer {key}", "X-Memsys-Project": project}
    transport = SSETransport(f"{mcp_url}/sse", headers=headers) if sse else None
    async with Client(transport or StreamableHttpTransport(f"{mcp_url}/p/{project}/mcp", headers=headers)) as client:
        yield client


async def add(client: Client[Any], text: str, **arguments: Any) -> str:
    """Return the id of the stored memory."""
    answer = await client.call_tool("add_memory", {"text": text, **arguments})
    assert answer.structured_content is not None
    return str(answer.structured_content["results"][0]["id"])


async def search(client: Client[Any], query: str, limit: int = 5) -> list[dict[str, Any]]:
    answer = await client.call_tool("search_memories", {"query": query, "limit": limit})
    assert answer.structured_content is not None
    results: list[dict[str, Any]] = answer.structured_content["results"]
    return results


def remember(mcp_url: str, key: str, project: str, texts: Sequence[str]) -> list[str]:
    async def go() -> list[str]:
        async with session(mcp_url, key, project) as client:
            return [await add(client, text) for text in texts]

    return asyncio.run(go())


def answers(mcp_url: str, key: str, project: str, questions: Sequence[str]) -> dict[str, list[str]]:
    """Return the texts recalled for each question, best first."""

    async def go() -> dict[str, list[str]]:
        async with session(mcp_url, key, project) as client:
            return {question: [r["memory"] for r in await search(client, question)] for question in questions}

    return asyncio.run(go())


def graph_memories(system: System, project: str) -> dict[str, set[str]]:
    """Return, straight from Neo4j, the ids of a project's memories, each with the names of the entities it mentions."""
    password = system.secret(f"{system.name}-neo4j", "password")
    with (
        system.kubectl.forward(f"service/{system.name}-neo4j", 7687, namespace=system.namespace) as address,
        GraphDatabase.driver(f"bolt://{address}", auth=("neo4j", password)) as driver,
    ):
        records, _, _ = driver.execute_query(
            "MATCH (m:Memory {project: $project}) WHERE NOT coalesce(m.deleted, false) "
            "OPTIONAL MATCH (m)-[:MENTIONS]->(e:Entity) RETURN m.id AS id, collect(e.name) AS names",
            project=project,
        )
    return {record["id"]: set(record["names"]) for record in records}
