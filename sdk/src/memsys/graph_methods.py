"""The methods of both clients on entities and the graph."""

from __future__ import annotations

from datetime import datetime

from memsys import graph_operations as calls
from memsys.graph_models import EntityPage, Merge, Neighbours, Paths, Rebuilds, Timeline
from memsys.operations import Scope
from memsys.sending import AsyncSending, Sending


class GraphMethods(Sending):
    """What the blocking client can ask of the graph."""

    def entities(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        query: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> EntityPage:
        """One page of what memories speak of. Pass its ``next_cursor`` for the next."""
        scope = Scope(user_id, agent_id)
        return self._send(calls.entities(scope=scope, query=query, limit=limit, cursor=cursor))

    def merge_entities(self, source: str, into: str, *, reason: str | None = None) -> Merge:
        """Let one name stand for another entity of the project, until :meth:`unmerge_entity`."""
        return self._send(calls.merge_entities(source, into, reason=reason))

    def unmerge_entity(self, source: str) -> Merge:
        """Let a merged name be an entity of its own again."""
        return self._send(calls.unmerge_entity(source))

    def neighbours(
        self,
        name: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        depth: int | None = None,
        limit: int | None = None,
        as_of: datetime | None = None,
        valid_at: datetime | None = None,
    ) -> Neighbours:
        """Entities related to one, nearest first. ``as_of``: as it was recorded then; ``valid_at``: what held then."""
        scope = Scope(user_id, agent_id)
        return self._send(calls.neighbours(name, scope=scope, depth=depth, limit=limit, as_of=as_of, valid_at=valid_at))

    def paths(
        self,
        source: str,
        target: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        depth: int | None = None,
        limit: int | None = None,
        as_of: datetime | None = None,
        valid_at: datetime | None = None,
    ) -> Paths:
        """How two entities hang together, shortest first."""
        scope = Scope(user_id, agent_id)
        return self._send(
            calls.paths(source, target, scope=scope, depth=depth, limit=limit, as_of=as_of, valid_at=valid_at)
        )

    def timeline(
        self,
        name: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        limit: int | None = None,
        as_of: datetime | None = None,
    ) -> Timeline:
        """Memories that mention an entity and what was stated of it, latest first."""
        return self._send(calls.timeline(name, scope=Scope(user_id, agent_id), limit=limit, as_of=as_of))

    def rebuild_graph(self) -> Rebuilds:
        """Begin to build the graph anew from PostgreSQL; needs the admin right."""
        return self._send(calls.rebuild_graph())

    def graph_rebuilds(self) -> Rebuilds:
        """How far rebuilds of the graph are."""
        return self._send(calls.graph_rebuilds())


class AsyncGraphMethods(AsyncSending):
    """The same, to be awaited."""

    async def entities(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        query: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> EntityPage:
        """One page of what memories speak of. Pass its ``next_cursor`` for the next."""
        scope = Scope(user_id, agent_id)
        return await self._send(calls.entities(scope=scope, query=query, limit=limit, cursor=cursor))

    async def merge_entities(self, source: str, into: str, *, reason: str | None = None) -> Merge:
        """Let one name stand for another entity of the project, until :meth:`unmerge_entity`."""
        return await self._send(calls.merge_entities(source, into, reason=reason))

    async def unmerge_entity(self, source: str) -> Merge:
        """Let a merged name be an entity of its own again."""
        return await self._send(calls.unmerge_entity(source))

    async def neighbours(
        self,
        name: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        depth: int | None = None,
        limit: int | None = None,
        as_of: datetime | None = None,
        valid_at: datetime | None = None,
    ) -> Neighbours:
        """Entities related to one, nearest first. ``as_of``: as it was recorded then; ``valid_at``: what held then."""
        scope = Scope(user_id, agent_id)
        return await self._send(
            calls.neighbours(name, scope=scope, depth=depth, limit=limit, as_of=as_of, valid_at=valid_at)
        )

    async def paths(
        self,
        source: str,
        target: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        depth: int | None = None,
        limit: int | None = None,
        as_of: datetime | None = None,
        valid_at: datetime | None = None,
    ) -> Paths:
        """How two entities hang together, shortest first."""
        scope = Scope(user_id, agent_id)
        return await self._send(
            calls.paths(source, target, scope=scope, depth=depth, limit=limit, as_of=as_of, valid_at=valid_at)
        )

    async def timeline(
        self,
        name: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        limit: int | None = None,
        as_of: datetime | None = None,
    ) -> Timeline:
        """Memories that mention an entity and what was stated of it, latest first."""
        return await self._send(calls.timeline(name, scope=Scope(user_id, agent_id), limit=limit, as_of=as_of))

    async def rebuild_graph(self) -> Rebuilds:
        """Begin to build the graph anew from PostgreSQL; needs the admin right."""
        return await self._send(calls.rebuild_graph())

    async def graph_rebuilds(self) -> Rebuilds:
        """How far rebuilds of the graph are."""
        return await self._send(calls.graph_rebuilds())
