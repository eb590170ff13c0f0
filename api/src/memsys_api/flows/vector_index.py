"""When an external vector index is asked for candidates, and what becomes of a search when it does not answer."""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

from memsys_api.flows.feeding import Vectors as Fed
from memsys_api.metrics import VECTOR_SEARCHES
from memsys_api.model import Scope
from memsys_api.ports import SinkUnavailable, Vectors
from memsys_api.store.candidates import BEHIND, Near

log = logging.getLogger(__name__)

ASKED = 75
"""More than are needed: PostgreSQL drops those that are out of date."""


class VectorIndex:
    """Asks an index that is known to be there, complete and not far behind; otherwise PostgreSQL searches."""

    def __init__(self, fed: Fed, *, timeout: float) -> None:
        self._fed = fed
        self._timeout = timeout

    async def near(self, scope: Scope, vector: Vectors) -> Near | None:
        """The memories of a scope nearest to a vector; ``None``: PostgreSQL is to search. Never raises."""
        fed, backlog = self._fed, self._fed.dispatcher.backlog
        if not fed.breaker.closed or not fed.filling.filled or backlog is None or backlog > BEHIND:
            VECTOR_SEARCHES.labels("skipped").inc()
            return None
        try:
            async with asyncio.timeout(self._timeout):
                found: list[UUID] = await fed.sink.nearest(scope, vector, ASKED)
        except (SinkUnavailable, TimeoutError):
            fed.breaker.trip()
            VECTOR_SEARCHES.labels("failed").inc()
            return None
        except Exception:
            log.exception("the vector index cannot be searched")
            VECTOR_SEARCHES.labels("failed").inc()
            return None
        VECTOR_SEARCHES.labels("answered").inc()
        return Near(fed.sink.name, found)
