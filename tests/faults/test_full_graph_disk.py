"""A Neo4j whose disk was full answers, and refuses everything: its probe must tell, and a restart must mend it."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import neo4j
import pytest
from neo4j.exceptions import DatabaseError

from memsys_api.model import Scope, SinkRecord
from memsys_api.ports import SinkUnavailable
from memsys_api.sinks.graph import Neo4jSink
from tests.integration.support.waiting import until
from tests.support.neo4j_server import Neo4jServer, jars

from .support.disk import disk
from .support.liveness import alive
from .support.rig import DISK_MEGABYTES

_RECORD = SinkRecord("p", uuid4(), 1, None)


@pytest.mark.timeout(300)
async def test_the_probe_fails_until_a_new_process_takes_up_what_was_acknowledged() -> None:
    with disk(DISK_MEGABYTES["neo4j"]) as space, Neo4jServer(space.folder, jars()) as server:

        async def lives() -> bool:
            return await asyncio.to_thread(alive, server)

        await until("the probe passes", lives)
        with space.filled():
            acknowledged = await asyncio.to_thread(_write_until_refused, server)
        assert not await lives(), "there is room again, and the database goes on as if nothing had been"
        sink = Neo4jSink(server.uri, server.user, server.password)
        for asked in (sink.neighbours(Scope("p"), ["anna"], 10), sink.apply([_RECORD]), sink.prepare()):
            with pytest.raises(SinkUnavailable):  # which is no fault of a record, and no reason for a search to fail
                await asked
        await sink.close()
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await until("the probe passes again", lives)
        assert await asyncio.to_thread(_written, server) == acknowledged


def _write_until_refused(server: Neo4jServer) -> int:
    """How many nodes were acknowledged before the disk was too full for one more batch."""
    acknowledged = 0
    with neo4j.GraphDatabase.driver(server.uri, auth=(server.user, server.password)) as driver:
        try:
            while acknowledged < 1_000_000:
                driver.execute_query("UNWIND range(1, 500) AS n CREATE (:Stuff {text: $text})", text="x" * 500)
                acknowledged += 500
        except DatabaseError:
            return acknowledged
    raise AssertionError("a full disk refuses nothing")


def _written(server: Neo4jServer) -> int:
    with neo4j.GraphDatabase.driver(server.uri, auth=(server.user, server.password)) as driver:
        [row] = driver.execute_query("MATCH (s:Stuff) RETURN count(s) AS number").records
        return int(row["number"])
