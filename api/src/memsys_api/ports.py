"""What the flows ask of the outside world, as protocols. Implementations live in ``embedding/`` and ``sinks/``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import numpy as np
import numpy.typing as npt

from memsys_api.model import Scope, SinkRecord

Vectors = npt.NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into unit-length vectors."""

    provider: str
    model: str
    dimensions: int

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row per text, shape ``(len(texts), dimensions)``, float32, L2-normalised.

        Raises :class:`EmbedderUnavailable` when the provider does not answer and
        :class:`EmbedderRejected` when it answers with an error that a retry will not mend.
        Never blocks the event loop.
        """
        ...

    def forget(self) -> None:
        """Drop whatever is kept of texts that were embedded."""
        ...

    async def close(self) -> None: ...


class EmbedderError(Exception):
    """Base of what an embedder raises."""


class EmbedderUnavailable(EmbedderError):
    """The provider is away or overloaded: the same call may succeed later."""


class EmbedderRejected(EmbedderError):
    """The provider refused the call: wrong key, model or dimensions."""


class SinkRefused(Exception):
    """The sink cannot take one record; the text is the sink's room's own, and quotes nothing of the record."""


class SinkUnavailable(Exception):
    """The sink does not answer. Nothing is wrong with the records: all of them are tried again when it is back."""


class Sink(Protocol):
    """A projection of PostgreSQL. A sink applies; it never decides and never calls a model."""

    name: str

    async def prepare(self) -> None:
        """Create constraints and indexes; idempotent. Raises :class:`SinkUnavailable`."""
        ...

    async def apply(self, records: Sequence[SinkRecord]) -> dict[UUID, str]:
        """Apply the records in one batch, idempotently by (id, version); the newest version wins.

        Returns the records that cannot be applied, by id, each with its error text (empty: all applied or
        already newer). Raises :class:`SinkUnavailable` when the sink did not answer; then nothing is known to
        be applied and the whole batch is due again.
        """
        ...

    async def holding(self, project: str, ids: Sequence[UUID]) -> int:
        """How many of these memories it still holds more of than a tombstone. Raises :class:`SinkUnavailable`."""
        ...

    async def available(self) -> bool: ...

    async def close(self) -> None: ...


class GraphSink(Sink, Protocol):
    """A sink that can also be asked: memories near the entities of a query."""

    async def neighbours(self, scope: Scope, entity_keys: Sequence[str], limit: int) -> list[tuple[UUID, float]]:
        """Memory ids within two hops of the entities, best first, with a weight in (0, 1].

        The project is enforced inside the query. Raises :class:`SinkUnavailable`.
        """
        ...

    async def read(self, project: str, after: UUID | None, limit: int) -> list[tuple[UUID, int, str]]:
        """Ids, versions and content hashes of what the graph really holds, in order of id, from ``after`` on.

        Raises :class:`SinkUnavailable`.
        """
        ...

    async def versions(self, project: str, ids: Sequence[UUID]) -> dict[UUID, int]:
        """The versions of these memories that the graph holds, as memories or tombstones. Raises as above."""
        ...

    async def forget(self, project: str, ids: Sequence[UUID]) -> None:
        """Remove these memories with all that only they support, whatever their versions, tombstones too.

        For what the graph should never have held: after this it takes any version. Raises as above.
        """
        ...

    async def doubt_names(self, project: str, keys: Sequence[str]) -> None:
        """Take names and kinds of these entities as they come next, also where the graph holds newer ones.

        For those that PostgreSQL never gave: written by hand, or before PostgreSQL was restored. Raises as above.
        """
        ...

    async def projects(self) -> list[str]:
        """The projects that were ever applied to the graph, in order. Raises as above."""
        ...

    async def strays(self, project: str) -> int:
        """How many entities and relations no memory supports: only a change by hand makes any. Raises as above."""
        ...

    async def sweep(self, project: str) -> int:
        """Remove the strays, and say how many. Raises as above."""
        ...


VECTORS = "vectors"
"""The name of the sink that is an external vector index, whichever it is."""


class VectorSink(Sink, Protocol):
    """A sink that can also be asked: memories near a vector."""

    @property
    def target(self) -> str:
        """What is fed: another target than before has to be filled from the beginning."""
        ...

    async def present(self) -> bool:
        """Whether what is fed is there at all. Raises :class:`SinkUnavailable`."""
        ...

    async def nearest(self, scope: Scope, vector: Vectors, limit: int) -> list[UUID]:
        """Memory ids of the scope by their cosine similarity to a vector of shape ``(dimensions,)``, nearest first.

        The project is enforced by the index. Raises :class:`SinkUnavailable`.
        """
        ...

    async def count(self) -> int:
        """About how many memories the index holds, of all projects. Raises :class:`SinkUnavailable`."""
        ...
