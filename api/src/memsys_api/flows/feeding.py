"""The sinks of this server, each with what keeps it fed, and driving them on request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import UUID

from memsys_api.flows.change_feed import Feed
from memsys_api.ports import VECTORS, GraphSink, Sink, VectorSink
from memsys_api.sinks.attempts import ATTEMPTS
from memsys_api.sinks.breaker import Breaker
from memsys_api.sinks.dispatcher import Dispatcher
from memsys_api.sinks.filling import Filling
from memsys_api.sinks.rebuild import Rebuilder, renew_names
from memsys_api.sinks.webhooks import Webhooks
from memsys_api.store import deliveries, fills, records
from memsys_api.store.database import Database
from memsys_api.store.embeddings import Embeddings
from memsys_api.store.generations import Generation
from memsys_api.store.outbox import Outbox

DRIVE_SECONDS = 20.0
OTHERS_SECONDS = 5.0
_LOOK_SECONDS = 0.05

S_co = TypeVar("S_co", bound=Sink, covariant=True)
S = TypeVar("S", bound=Sink)


@dataclass(frozen=True)
class Fed(Generic[S_co]):
    """A sink, what brings changes to it, and whether it answers."""

    sink: S_co
    dispatcher: Dispatcher
    breaker: Breaker

    async def stop(self) -> None:
        """Stop after the batch at hand, and let go of the sink."""
        await self.dispatcher.stop()
        await self.sink.close()


@dataclass(frozen=True)
class Graph(Fed[GraphSink]):
    """The graph, which can also be built anew."""

    rebuilder: Rebuilder


@dataclass(frozen=True)
class Vectors(Fed[VectorSink]):
    """An external vector index, which is also filled with what there was before it."""

    filling: Filling


def feed_graph(database: Database, sink: GraphSink, *, retry_base: float) -> Graph:
    """The graph with a dispatcher of its own, not started yet."""
    fed = _feed(database, sink, retry_base=retry_base, named=True)
    return Graph(fed.sink, fed.dispatcher, fed.breaker, Rebuilder(database, sink, fed.dispatcher.wake))


async def feed_vectors(
    database: Database, generation: Generation, make: Callable[..., VectorSink | None], *, retry_base: float
) -> Vectors | None:
    """The external vector index, to be filled. Without one, what such an index was fed before is past."""
    sink = await asyncio.to_thread(  # its client is large to import
        make,
        generation=generation.id,
        dimensions=generation.dimensions,
        truth=Embeddings(database, generation).newest,
        emptied=partial(fills.begin, database, VECTORS, anew=True),
    )
    if sink is None:
        await fills.forget(database, VECTORS)
        return None
    fed = _feed(database, sink, retry_base=retry_base)
    return Vectors(fed.sink, fed.dispatcher, fed.breaker, Filling(database, sink, fed.dispatcher.wake))


def _feed(database: Database, sink: S, *, retry_base: float, named: bool = False) -> Fed[S]:
    breaker = Breaker(sink.name)
    return Fed(sink, Dispatcher(database, sink, breaker, retry_base=retry_base, named=named), breaker)


def outbox_of(fed: Sequence[Fed[Sink]], webhooks: Webhooks | None, feed: Feed) -> Outbox:
    """The outbox that these carry changes away from."""
    awake = [feed.wake, *(part.dispatcher.wake for part in (*fed, webhooks) if part is not None)]

    def wake() -> None:
        for one in awake:
            one()

    return Outbox(tuple(one.sink.name for one in fed), wake)


async def queue_afresh(database: Database, fed: Fed[Sink], project: str, memory_id: UUID) -> bool:
    """Make a memory's newest state due, also when nothing is known to be wrong with it; ``False``: there is none.

    Of the graph, what only it holds goes, and so does a version that PostgreSQL has not reached: it was never written,
    and would be in the way of what is. Raises :class:`~memsys_api.ports.SinkUnavailable` when the graph is away.
    """
    graph = fed.sink if isinstance(fed, Graph) else None
    held = (await graph.versions(project, [memory_id])).get(memory_id) if graph else None  # before PostgreSQL is read
    version = (await records.versions_of(database, project, [memory_id])).get(memory_id)
    if graph and held is not None and (version is None or held > version):
        await graph.forget(project, [memory_id])
    if version is None:
        return held is not None
    if graph:
        await renew_names(database, graph, project, [memory_id])
    async with database.transaction(project) as conn:
        await deliveries.enqueue(conn, project, [fed.sink.name], [(memory_id, version)])
    return True


async def drive(database: Database, fed: Fed[Sink], project: str | None, memory_id: UUID | None) -> dict[str, Any]:
    """Queue parked deliveries again and apply what is due, for up to :data:`DRIVE_SECONDS`; says what came of it.

    Some of it may be in the hands of the background or of another replica: that is waited for as well, not as long.
    """
    name = fed.sink.name
    again = partial(deliveries.requeue, database, name, project, memory_id, attempts=ATTEMPTS)
    more, begun = await again()
    requeued, since, applied = more, begun, 0
    try:
        async with asyncio.timeout(DRIVE_SECONDS):
            while more == deliveries.REQUEUED:
                more, since = await again(before=begun)
                requeued += more
            async for done in fed.dispatcher.drain(project, memory_id):
                applied += done
    except TimeoutError:
        fed.dispatcher.wake()  # the background goes on where this ends
    with suppress(TimeoutError):
        async with asyncio.timeout(OTHERS_SECONDS):
            while fed.breaker.closed:
                if not await deliveries.under_way(database, name, project, memory_id, since):
                    break
                await asyncio.sleep(_LOOK_SECONDS)
    queue = await deliveries.status(database, name, project)
    return {
        "applied": applied,
        "pending": queue.pending,
        "parked": queue.parked,
        "requeued": requeued,
        "last_error": queue.last_error,
    }
