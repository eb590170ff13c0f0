"""What the sink asks of a store: plain blocking calls. One module beside this one for each store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any
from uuid import UUID

from memsys_api.ports import SinkUnavailable
from memsys_api.sinks.vectors.points import Point


@dataclass(frozen=True, slots=True)
class Connection:
    """How a store is reached, and the collection that is kept there."""

    store: str
    url: str | None
    grpc_url: str | None
    api_key: str | None
    collection: str
    dimensions: int
    cloud: str
    region: str
    write_seconds: float
    search_seconds: float

    @property
    def target(self) -> str:
        """Names what is fed, without secrets: another target has to be filled from the beginning."""
        return f"{self.store} {self.url or 'default'} {self.collection}"


class VectorStore(ABC):
    """A collection of points, kept through mem0's class for the store. Making one opens no connection.

    mem0's constructors talk to the store and make the collection, so theirs is put off until it is needed. Every call
    blocks, ends within the connection's seconds, and raises whatever the store's client raises:
    :func:`~memsys_api.sinks.vectors.errors.is_away` says which of that means that the store is away.
    """

    def __init__(self, connection: Connection) -> None:
        self._to = connection
        self._lock = Lock()
        self._opened: Any = None

    def prepare(self) -> bool:
        """Make the collection and its indexes, or check the one that is there; says whether it was made now.

        Raises :class:`~memsys_api.ports.SinkUnavailable` when what is there does not fit.
        """
        with self._lock:
            made = not self.present()
            opened = self._open()
            self._check(opened)
            self._opened = opened
        return made

    @property
    def _mem0(self) -> Any:
        """mem0's object. Raises :class:`~memsys_api.ports.SinkUnavailable` where there is no collection to read."""
        with self._lock:
            if self._opened is None:
                if not self.present():
                    raise SinkUnavailable(f"{self._to.store} has no collection {self._to.collection} yet")
                self._opened = self._open()
            return self._opened

    @abstractmethod
    def present(self) -> bool:
        """Whether the collection is there; raises unless the store answers and takes the key."""

    @abstractmethod
    def write(self, points: Sequence[Point]) -> Mapping[str, str]:
        """Put points in place of those of their ids; returns why, for those that the store refused, by id."""

    @abstractmethod
    def remove(self, ids: Sequence[str]) -> None:
        """Remove points; ids that are not there are no error."""

    @abstractmethod
    def nearest(self, vector: list[float], scope: Mapping[str, str], limit: int) -> list[UUID]:
        """Memories by cosine similarity, nearest first, whose payload equals ``scope`` in all of its fields."""

    @abstractmethod
    def holding(self, ids: Sequence[str]) -> int:
        """How many of these points are there."""

    @abstractmethod
    def count(self) -> int:
        """About how many points the collection holds."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""

    @abstractmethod
    def _open(self) -> Any:
        """mem0's object, with a client whose calls are bounded in time; makes the collection if there is none."""

    @abstractmethod
    def _check(self, opened: Any) -> None:
        """Raise :class:`~memsys_api.ports.SinkUnavailable` for a collection that does not fit."""

    def _unfit(self, what: str) -> SinkUnavailable:
        return SinkUnavailable(
            f"{self._to.store}'s collection {self._to.collection} {what}: remove it, or set VECTOR_STORE_COLLECTION to "
            "another name"
        )

    def _check_dimensions(self, found: object) -> None:
        """mem0 takes a collection of any dimensions for its own."""
        if found != self._to.dimensions:
            raise self._unfit(f"has {found} dimensions, this system's embeddings have {self._to.dimensions}")
