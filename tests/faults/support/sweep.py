"""Crashes one server at one step of one operation, and sees that everything comes right afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import httpx
import neo4j
import psycopg

from tests.integration.support import postgres
from tests.support.neo4j_server import Neo4jServer, neo4j_server

from .clients import PROJECT, Client
from .comparison import apart, lost_or_doubled
from .dialects import Bolt, Postgres
from .front import Front
from .ledger import Ledger
from .nursery import Child, Nursery, lasting_port, nursery
from .rig import ADMIN_KEY, DATABASE
from .tap import Listener, Step, Trap, tap

FIRST_ADD = "first add"
# What is waited for comes within a second or two, but not on a machine that is busy with much else.
_ACKNOWLEDGE_SECONDS = 120.0
_SETTLE_SECONDS = 180.0
_IDLE_SECONDS = 3.0
_CLAIM = "UPDATE deliveries d SET lease"
# Leases are made to end a second after they were taken: what would happen after a minute happens now.
_AGE = "UPDATE deliveries SET leased_until = now() WHERE leased_until < now() + interval '59 seconds'"
_WAITING = "SELECT * FROM deliveries LIMIT 5"

_DIFFERENT: LiteralString = "MATCH (m:Memory {id: $id})-[x:MENTIONS]->() SET m.text = 'forged' DELETE x"
_MISSING: LiteralString = "MATCH (m:Memory {id: $id}) DETACH DELETE m"
_EXTRA: LiteralString = """
    CREATE (:Memory {project: $project, id: $id, version: 1, text: 'nobody said this'})-[:MENTIONS]->
           (:Entity {project: $project, key: $id, name: 'Nobody', kind: 'person'})"""

Operation = Callable[[], Coroutine[Any, Any, object]]
Prepare = Callable[[], Awaitable[Operation]]
"""Makes what an operation is done to; the operation ends when it is acknowledged."""


@dataclass(frozen=True)
class Crash:
    """Where an operation was broken off, and everything that was wrong afterwards."""

    step: Step
    wrong: list[str]


class Sweep:
    """One PostgreSQL, one Neo4j, one replica, whose every word to each other is heard."""

    def __init__(
        self,
        database: postgres.Server,
        graph: Neo4jServer,
        listener: Listener,
        start: Callable[[], Child],
        client: httpx.AsyncClient,
        ledger: Ledger,
    ) -> None:
        self.database, self.graph = database, graph
        self._listener, self._start, self._ledger = listener, start, ledger
        self._front = Front([client])
        self._child = start()
        self._idle: set[str] = set()
        self.client = Client(0, 0, self._front, ledger, impatient=0)
        self.operations: Mapping[str, Prepare] = {
            "add": self._add,
            "update": self._update,
            "delete": self._delete,
            "repair": self._repair,
            FIRST_ADD: self._first_add,
        }

    async def _first_add(self) -> Operation:
        """The first thing that a replica is asked to do: it prepares the graph before."""
        await asyncio.to_thread(self._child.kill)
        await asyncio.to_thread(self._replace)
        return lambda: self.client.add(1)

    async def _add(self) -> Operation:
        await self.client.add(1)
        await self.settled()
        return lambda: self.client.add(2)

    async def _update(self) -> Operation:
        [record] = await self.client.add(1)
        await self.settled()
        return lambda: self.client.update(record)

    async def _delete(self) -> Operation:
        [record] = await self.client.add(1)
        await self.settled()
        return lambda: self.client.delete(record)

    async def _repair(self) -> Operation:
        """The graph is changed by hand; applying the memory afresh mends it."""
        [record] = await self.client.add(1)
        await self.settled()
        await asyncio.to_thread(_by_hand, self.graph, _DIFFERENT, record.id)
        return lambda: self._front.request("POST", "/graph/sync", params={"memory_id": record.id})

    async def forge(self) -> None:
        """Change the graph by hand: one memory is another then, one is missing, and there is one that nobody wrote."""
        different, missing = await self.client.add(2)
        await self.settled()
        for statement, memory_id in (
            (_DIFFERENT, different.id),
            (_MISSING, missing.id),
            (_EXTRA, str(uuid4())),
        ):
            await asyncio.to_thread(_by_hand, self.graph, statement, memory_id)

    @property
    def url(self) -> str:
        """Where the replica listens."""
        return self._child.url

    async def listen(self) -> None:
        """Learn what is said at all times, and belongs to no operation."""
        await self.settled()
        self._listener.begin()
        await asyncio.sleep(_IDLE_SECONDS)
        self._idle = {step.label for step in self._listener.heard if _CLAIM not in step.label}

    async def crash(self, operation: str, target: str, wanted: Callable[[Step], bool]) -> Crash | None:
        """Lose ``target`` right before the first step of an operation that is wanted; ``None``: there was none.

        The operation ends when the graph has been told of it.
        """
        carry_out = await self.operations[operation]()
        harm, mend = self._faults[target]
        trap = Trap(lambda step: self._belongs(step) and wanted(step), harm)
        self._listener.begin(trap)
        doing = asyncio.create_task(carry_out())
        over = asyncio.create_task(self._over(doing))
        sprung = asyncio.create_task(trap.sprung.wait())
        await asyncio.wait((over, sprung), return_when=asyncio.FIRST_COMPLETED)
        sprung.cancel()
        if trap.sprung_at is None:
            self._listener.begin()  # nothing may spring while nobody waits for it
            await over
            return None
        over.cancel()
        await asyncio.to_thread(mend)
        await asyncio.wait_for(doing, _ACKNOWLEDGE_SECONDS)
        wrong, self._front.violations = self._front.violations, []
        return Crash(trap.sprung_at, wrong + await self.wrong())

    async def wrong(self) -> list[str]:
        """Everything in the two stores that is not as it was acknowledged, once the graph has been told everything."""
        await self.settled()
        url = self.database.url("postgres", DATABASE)
        lost = await asyncio.to_thread(lost_or_doubled, url, self._ledger)
        return lost + await asyncio.to_thread(apart, url, self.graph)

    def _belongs(self, step: Step) -> bool:
        # A claim before the commit has nothing to do with the operation.
        return step.label not in self._idle and (step.after_commit or _CLAIM not in step.label)

    async def _over(self, doing: asyncio.Task[object]) -> None:
        await asyncio.wait_for(asyncio.shield(doing), _ACKNOWLEDGE_SECONDS)
        await self.settled()

    @property
    def _faults(self) -> Mapping[str, tuple[Callable[[], None], Callable[[], None]]]:
        """How each one is lost, and brought back."""
        return {
            "the API": (self._child.kill, self._replace),
            "PostgreSQL": (self.database.kill, self.database.start),
            "Neo4j": (self.graph.kill, self.graph.start),
            "the connection": (lambda: None, lambda: None),
        }

    def _replace(self) -> None:
        self._child = self._start()

    async def settled(self) -> None:
        """Wait until the graph has been told everything."""
        url = self.database.url("postgres", DATABASE)
        left: list[tuple[object, ...]] = [("nothing was asked",)]
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                while left:
                    with suppress(psycopg.OperationalError):  # PostgreSQL may be the one that is lost
                        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
                            while left := await (await conn.execute(_WAITING)).fetchall():
                                await conn.execute(_AGE)
                                await asyncio.sleep(0.02)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"deliveries are left after {_SETTLE_SECONDS:g} s: {left}") from None


def _by_hand(graph: Neo4jServer, statement: LiteralString, memory_id: str) -> None:
    with neo4j.GraphDatabase.driver(graph.uri, auth=(graph.user, graph.password)) as driver:
        driver.execute_query(statement, id=memory_id, project=PROJECT)


@asynccontextmanager
async def sweep(folder: Path) -> AsyncIterator[Sweep]:
    """Start all that a sweep needs."""
    async with AsyncExitStack() as stack:
        database = stack.enter_context(postgres.server())
        postgres.create_database(database, DATABASE)
        graph = stack.enter_context(neo4j_server())
        listener = Listener()
        sql = await stack.enter_async_context(tap("127.0.0.1", database.port, Postgres, listener))
        bolt = await stack.enter_async_context(tap("127.0.0.1", graph.bolt_port, Bolt, listener))
        children = stack.enter_context(nursery())  # ends before what it speaks to
        port = lasting_port()
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {ADMIN_KEY}"}, timeout=20
            )
        )
        ledger = Ledger(folder / "ledger.jsonl")
        stack.callback(ledger.close)
        start = _starter(children, database, graph, sql, bolt, port)
        made = await asyncio.to_thread(lambda: Sweep(database, graph, listener, start, client, ledger))
        await made.client.add(1)
        await made.listen()
        yield made


def _starter(
    children: Nursery, database: postgres.Server, graph: Neo4jServer, sql: int, bolt: int, port: int
) -> Callable[[], Child]:
    def through(user: str) -> str:
        return f"postgresql://{user}:secret@127.0.0.1:{sql}/{DATABASE}?sslmode=disable&gssencmode=disable"

    return lambda: children.start(
        port,
        DATABASE_URL=through("memsys_app"),
        DATABASE_OWNER_URL=through("memsys_owner"),
        DATABASE_PREPARED_STATEMENTS="false",  # so that a statement is the same messages each time
        GRAPH_STORE="neo4j",
        NEO4J_URI=f"bolt://127.0.0.1:{bolt}",
        NEO4J_PASSWORD=graph.password,
        GRAPH_RETRY_BASE_SECONDS="0.05",
        VECTOR_INDEX="exact",
        MEMSYS_ADMIN_KEY=ADMIN_KEY,
    )
