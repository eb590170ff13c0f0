"""The Neo4j sink: applies memories to the graph, answers who is near, and reads back for comparison."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString, TypeVar
from uuid import UUID

import neo4j
from neo4j.exceptions import (
    AuthError,
    ClientError,
    ConfigurationError,
    DatabaseError,
    DriverError,
    Neo4jError,
    TransientError,
)

from memsys_api.causes import cause
from memsys_api.model import Scope, SinkRecord
from memsys_api.ports import SinkUnavailable
from memsys_api.sinks.graph import content, cypher, neo4j_cypher, steps

log = logging.getLogger(__name__)

CONNECT_SECONDS = 3.0
APPLY_SECONDS = 20.0
ASK_SECONDS = 5.0
READ_SECONDS = 20.0
SCHEMA_RETRY_SECONDS = 0.2  # one of a deadlock is ended, the others go on meanwhile
ORPHAN_SECONDS = 10.0  # an index that another replica is making a constraint of has become one by then, also when cold
MADE_BY_ANOTHER = "Neo.ClientError.Schema.EquivalentSchemaRuleAlreadyExists"
NAME_TAKEN = ("Neo.ClientError.Schema.IndexWithNameAlreadyExists", "Neo.ClientError.Schema.IndexAlreadyExists")
TOO_MANY_LOGINS = "Neo.ClientError.Security.AuthenticationRateLimit"
"""What any password is answered for some seconds, after three wrong ones."""
OF_A_STATEMENT = "Neo.DatabaseError.Statement."
"""What a statement was too much for; every other error of the database is its own, as after its disk was full."""
RETRY_SECONDS = 1.0  # attempts are the dispatcher's business
HUB_MENTIONS = 50  # of an entity with more, any handful would be named: it tells memories apart no more

T = TypeVar("T")


class Neo4jSink:
    """The port :class:`memsys_api.ports.GraphSink` on Neo4j 5. Making it opens no connection."""

    name = "graph"

    def __init__(self, uri: str, user: str, password: str) -> None:
        self._uri, self._user = uri, user
        self._asked: set[asyncio.Task[list[tuple[UUID, float]]]] = set()
        self._driver = neo4j.AsyncGraphDatabase.driver(
            uri,
            auth=(user, password),
            connection_timeout=CONNECT_SECONDS,
            connection_acquisition_timeout=2 * CONNECT_SECONDS,
            max_transaction_retry_time=RETRY_SECONDS,
            liveness_check_timeout=30.0,
            telemetry_disabled=True,
            notifications_min_severity=neo4j.NotificationMinimumSeverity.OFF,
            user_agent="memsys",
        )

    async def prepare(self) -> None:
        """Create constraints and indexes, wait until they are online, and have the searches' question planned.

        Idempotent. Planning it takes a cold Neo4j longer than a search waits. Replicas that start together make the
        same constraints: whom Neo4j ends, in a deadlock or because the other was first, tries again. An index that
        Neo4j gave up, for want of room perhaps, is made anew.
        """
        async with self._answering("prepare", APPLY_SECONDS):
            await self._drop_indexes(lambda state, owner: state == "FAILED")
            for name, statement in neo4j_cypher.SCHEMA.items():
                await self._make(name, statement)
            await self._driver.execute_query(neo4j_cypher.AWAIT_INDEXES, names=list(neo4j_cypher.SCHEMA))
        await self._ask(Scope(project=""), [""], limit=1)

    async def apply(self, records: Sequence[SinkRecord]) -> dict[UUID, str]:
        """Apply in one transaction. What is older than the graph is left out; the same version is written anew.

        Writing a version again is what mends a graph that was changed by hand. Raises Neo4j's own errors when a
        statement is refused: then nothing of the batch is applied, and the caller finds the record at fault.
        """
        if due := content.newest(records):
            projects = sorted({record.project for record in due})
            await self._write("apply", projects, lambda run: steps.apply(run, due))
        return {}

    async def neighbours(self, scope: Scope, entity_keys: Sequence[str], limit: int) -> list[tuple[UUID, float]]:
        """See the port. A caller that stops waiting does not stop the question.

        Neo4j plans a statement, and loads code for it, when it runs first; broken off each time, it would never get
        done, and every search would wait in vain.
        """
        return await asyncio.shield(self._ask(scope, entity_keys, limit))

    async def read(self, project: str, after: UUID | None, limit: int) -> list[tuple[UUID, int, str]]:
        async with self._answering("read", READ_SECONDS):
            return await steps.read(self._read, project, after, limit)

    async def versions(self, project: str, ids: Sequence[UUID]) -> dict[UUID, int]:
        async with self._answering("versions", READ_SECONDS):
            return await steps.versions(self._read, project, ids)

    async def projects(self) -> list[str]:
        async with self._answering("projects", READ_SECONDS):
            return [row["name"] for row in await self._read(cypher.PROJECTS)]

    async def strays(self, project: str) -> int:
        async with self._answering("strays", READ_SECONDS):
            return await steps.strays(self._read, project)

    async def forget(self, project: str, ids: Sequence[UUID]) -> None:
        await self._write("forget", [project], lambda run: steps.forget(run, project, ids))

    async def doubt_names(self, project: str, keys: Sequence[str]) -> None:
        await self._write("names", [project], lambda run: steps.doubt_names(run, project, keys))

    async def sweep(self, project: str) -> int:
        removed = 0
        while some := await self._write("sweep", [project], lambda run: steps.sweep_some(run, project)):
            removed += some
        return removed

    async def holding(self, project: str, ids: Sequence[UUID]) -> int:
        """See the port: counts nodes and relationships as they are."""
        async with self._answering("count", READ_SECONDS):
            return await steps.holding(self._read, project, ids)

    async def available(self) -> bool:
        """Whether the server answers with these credentials.

        In passing it asks for the neighbours of nothing, so that a connection and the plan are at hand when a
        search comes.
        """
        try:
            async with self._answering("ping", ASK_SECONDS):
                await self._driver.execute_query(cypher.PING)
        except SinkUnavailable:
            return False
        if not self._asked:
            self._ask(Scope(""), (), 1)
        return True

    async def close(self) -> None:
        for asked in self._asked:
            asked.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)
        await self._driver.close()

    def _ask(self, scope: Scope, entity_keys: Sequence[str], limit: int) -> asyncio.Task[list[tuple[UUID, float]]]:
        asked = asyncio.create_task(self._near(scope, entity_keys, limit), name="graph-neighbours")
        self._asked.add(asked)
        asked.add_done_callback(self._answered)
        return asked

    def _answered(self, asked: asyncio.Task[list[tuple[UUID, float]]]) -> None:
        self._asked.discard(asked)
        if not asked.cancelled():
            asked.exception()  # seen: whoever still waits gets it, nobody else needs a log line

    async def _near(self, scope: Scope, entity_keys: Sequence[str], limit: int) -> list[tuple[UUID, float]]:
        async with self._answering("neighbours", READ_SECONDS):
            rows = await self._read(
                neo4j_cypher.NEIGHBOURS,
                project=scope.project,
                user_id=scope.user_id,
                agent_id=scope.agent_id,
                app_id=scope.app_id,
                run_id=scope.run_id,
                keys=list(entity_keys),
                hub=HUB_MENTIONS,
                limit=limit,
            )
        return [(UUID(row["id"]), row["weight"]) for row in rows]

    async def _make(self, name: str, statement: LiteralString) -> None:
        """Make a constraint or an index unless it is there.

        A server that is killed while it makes a constraint may keep the index without it, which then stands in its way
        for good: it is dropped when it is still nobody's after a while.
        """
        orphaned_at = time.monotonic() + ORPHAN_SECONDS
        while True:
            try:
                await self._driver.execute_query(statement)
            except TransientError:
                pass
            except ClientError as error:
                # IF NOT EXISTS looks before it locks: of two that find nothing, the second one is refused.
                if error.code == MADE_BY_ANOTHER:
                    return
                if error.code not in NAME_TAKEN:
                    raise
                if time.monotonic() > orphaned_at:
                    await self._drop_indexes(lambda state, owner: owner is None, name)
            else:
                return
            await asyncio.sleep(SCHEMA_RETRY_SECONDS)

    async def _drop_indexes(self, broken: Callable[[str, str | None], bool], *names: str) -> None:
        """Drop those of our indexes that are broken by their state and their constraint, with the constraint."""
        rows, _, _ = await self._driver.execute_query(neo4j_cypher.INDEXES, names=list(names or neo4j_cypher.SCHEMA))
        for name, state, owner in rows:
            if broken(state, owner):
                log.warning("a broken index is dropped", extra={"index": name, "state": state, "constraint": owner})
                drop = neo4j_cypher.DROP_INDEX if owner is None else neo4j_cypher.DROP_CONSTRAINT
                await self._driver.execute_query(drop, name=name)

    async def _read(self, statement: LiteralString, **parameters: Any) -> list[content.Row]:
        # One round trip: a read needs no transaction of its own, and whoever asks knows better whether to ask again.
        async with self._driver.session(default_access_mode=neo4j.READ_ACCESS) as session:
            return await (await session.run(statement, parameters)).data()

    async def _write(self, what: str, projects: list[str], work: Callable[[steps.Run], Awaitable[T]]) -> T:
        """Do work in one transaction. Its first write locks the projects: no two writes of a project run at once."""

        async def transaction(tx: neo4j.AsyncManagedTransaction) -> T:
            async def run(statement: LiteralString, **parameters: Any) -> list[content.Row]:
                return await (await tx.run(statement, parameters)).data()

            await run(neo4j_cypher.LOCK, projects=projects)
            return await work(run)

        async with self._answering(what, APPLY_SECONDS), self._driver.session() as session:
            return await session.execute_write(transaction)

    @asynccontextmanager
    async def _answering(self, what: str, seconds: float) -> AsyncIterator[None]:
        """Turn every sign of a server that is away into :class:`SinkUnavailable`; let refused statements through."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise SinkUnavailable(f"Neo4j at {self._uri} did not answer ({what}) within {seconds:g} s") from error
        except ConfigurationError as error:
            raise SinkUnavailable(f"NEO4J_URI={self._uri} does not fit the server: {cause(error)}") from error
        except (DriverError, TransientError) as error:
            raise SinkUnavailable(f"Neo4j at {self._uri} is away: {cause(error)}") from error
        except Neo4jError as error:
            if isinstance(error, AuthError) or error.code == TOO_MANY_LOGINS:
                raise SinkUnavailable(
                    f"Neo4j at {self._uri} refused user {self._user!r}: correct NEO4J_USER and NEO4J_PASSWORD"
                ) from error
            if error.is_retryable():
                raise SinkUnavailable(f"Neo4j at {self._uri} asks to try again: {cause(error)}") from error
            if isinstance(error, DatabaseError) and not (error.code or "").startswith(OF_A_STATEMENT):
                raise SinkUnavailable(f"Neo4j at {self._uri} has failed: {cause(error)}") from error
            raise
        except OSError as error:
            raise SinkUnavailable(f"Neo4j at {self._uri} cannot be reached: {cause(error)}") from error
