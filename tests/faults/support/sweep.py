"""Crashes one server at one step of one operation, and sees that everything comes right afterwards."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import neo4j
import psycopg

from tests.integration.support import postgres
from tests.support.neo4j_server import Neo4jServer, neo4j_server

from .clients import Client
from .comparison import apart, lost_or_doubled
from .dialects import Bolt, Postgres
from .front import Front
from .ledger import Ledger
from .nursery import Child, Nursery, lasting_port, nursery
from .rig import ADMIN_KEY, DATABASE
from .tap import Listener, Trap, tap

_REACH_SECONDS = 10.0
_TRIES = 4
_ACKNOWLEDGE_SECONDS = 60.0
_SETTLE_SECONDS = 60.0
_IDLE_SECONDS = 3.0
_CLAIM = "UPDATE deliveries d SET lease"
# Leases are made to end a second after they were taken: what would happen after a minute happens now.
_AGE = "UPDATE deliveries SET leased_until = now() WHERE leased_until < now() + interval '59 seconds'"
_WAITING = "SELECT count(*) FROM deliveries"

Operation = Callable[[], Awaitable[object]]
Prepare = Callable[[], Awaitable[Operation]]
"""Makes what an operation is done to; the operation ends when it is acknowledged."""


@dataclass(frozen=True)
class Step:
    """A message between the API and one of its databases, as it occurs in an operation that nothing disturbs."""

    label: str
    after_commit: bool


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
        self._steps: dict[str, list[Step]] = {}
        self.client = Client(0, 0, self._front, ledger, impatient=0)
        self.operations: Mapping[str, Prepare] = {
            "first add": self._first_add,
            "add": self._add,
            "update": self._update,
            "delete": self._delete,
            "repair": self._repair,
        }

    async def _first_add(self) -> Operation:
        """The first thing that a replica is asked to do: it prepares the graph before."""
        await asyncio.to_thread(self._child.kill)
        await asyncio.to_thread(self._replace)
        return lambda: self.client.add(1)

    async def _add(self) -> Operation:
        await self.client.add(1)
        await self._settled()
        return lambda: self.client.add(2)

    async def _update(self) -> Operation:
        [record] = await self.client.add(1)
        await self._settled()
        return lambda: self.client.update(record)

    async def _delete(self) -> Operation:
        [record] = await self.client.add(1)
        await self._settled()
        return lambda: self.client.delete(record)

    async def _repair(self) -> Operation:
        """The graph is changed by hand; applying the memory afresh mends it."""
        memory_id = await self.forge()
        return lambda: self._front.request("POST", "/graph/sync", params={"memory_id": memory_id})

    async def forge(self) -> str:
        """Add a memory and change it in the graph by hand; its id."""
        [record] = await self.client.add(1)
        await self._settled()
        await asyncio.to_thread(_forge, self.graph, record.id)
        return record.id

    @property
    def url(self) -> str:
        """Where the replica listens."""
        return self._child.url

    async def steps(self, operation: str) -> list[Step]:
        """What is said during an operation, in order, each thing once, without what is said at all times."""
        if operation not in self._steps:
            self._steps[operation] = await self._heard(operation)
        return self._steps[operation]

    async def _heard(self, operation: str) -> list[Step]:
        self._listener.begin()
        await asyncio.sleep(_IDLE_SECONDS)
        idle = {label for label, _ in self._listener.heard if _CLAIM not in label}
        rounds = [await self._undisturbed(operation) for _ in range(3)]
        return [step for step in rounds[0] if step.label not in idle and all(step in others for others in rounds[1:])]

    async def _undisturbed(self, operation: str) -> list[Step]:
        carry_out = await self.operations[operation]()
        self._listener.begin()
        await carry_out()
        await self._settled()
        heard = self._listener.heard
        found: dict[str, bool] = {}
        for label, after_commit in heard:
            if _CLAIM not in label or after_commit:  # a claim before the commit has nothing to do with the operation
                found.setdefault(label, after_commit)
        return list(itertools.starmap(Step, found.items()))

    async def crash(self, operation: str, step: Step, target: str) -> list[str]:
        """Everything that is wrong after ``target`` was lost right before this step of an operation."""
        for _ in range(_TRIES):
            self._listener.begin()
            carry_out = await self.operations[operation]()
            harm, mend = self._faults[target]
            trap = Trap(step.label, step.after_commit, harm)
            self._listener.begin(trap)
            doing = asyncio.ensure_future(carry_out())
            # Something else the API does now and then may have taken the place of the step: then once more.
            with suppress(TimeoutError):
                await asyncio.wait_for(trap.sprung.wait(), _REACH_SECONDS)
            if trap.sprung.is_set():
                break
            self._listener.begin()  # nothing may spring while nobody waits for it
            await asyncio.wait_for(doing, _ACKNOWLEDGE_SECONDS)
        else:
            return [f"was not reached in {_TRIES} operations"]
        await asyncio.to_thread(mend)
        await asyncio.wait_for(doing, _ACKNOWLEDGE_SECONDS)
        await self._settled()
        wrong, self._front.violations = self._front.violations, []
        url = self.database.url("postgres", DATABASE)
        wrong += await asyncio.to_thread(lost_or_doubled, url, self._ledger)
        return wrong + await asyncio.to_thread(apart, url, self.graph)

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

    async def _settled(self) -> None:
        """Wait until the graph has been told everything."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        url = self.database.url("postgres", DATABASE)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
            while (queue := await (await conn.execute(_WAITING)).fetchone()) != (0,):
                if time.monotonic() > deadline:
                    rows = await (await conn.execute("SELECT * FROM deliveries")).fetchall()
                    raise AssertionError(f"{queue} deliveries are left after {_SETTLE_SECONDS:g} s: {rows[:5]}")
                await conn.execute(_AGE)
                await asyncio.sleep(0.02)


def _forge(graph: Neo4jServer, memory_id: str) -> None:
    with neo4j.GraphDatabase.driver(graph.uri, auth=(graph.user, graph.password)) as driver:
        driver.execute_query("MATCH (m:Memory {id: $id})-[x:MENTIONS]->() SET m.text = 'forged' DELETE x", id=memory_id)


@asynccontextmanager
async def sweep(folder: Path) -> AsyncIterator[Sweep]:
    """Start all that a sweep needs."""
    async with AsyncExitStack() as stack:
        database = stack.enter_context(postgres.server())
        postgres.create_database(database, DATABASE)
        graph = stack.enter_context(neo4j_server())
        listener, children = Listener(), stack.enter_context(nursery())
        sql = await stack.enter_async_context(tap("127.0.0.1", database.port, Postgres, listener))
        bolt = await stack.enter_async_context(tap("127.0.0.1", graph.bolt_port, Bolt, listener))
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
