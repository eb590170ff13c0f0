"""The graph as a projection of PostgreSQL. The only room that imports neo4j."""

from __future__ import annotations

from typing import Protocol

from pydantic import SecretStr

from memsys_api.sinks.graph.content import content_hash
from memsys_api.sinks.graph.neo4j_sink import Neo4jSink

__all__ = ["GraphSettings", "Neo4jSink", "content_hash", "create"]

SCHEMES = frozenset({"bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc"})


class GraphSettings(Protocol):
    """What :func:`create` reads of the API's settings."""

    @property
    def graph_store(self) -> str: ...
    @property
    def neo4j_uri(self) -> str | None: ...
    @property
    def neo4j_user(self) -> str: ...
    @property
    def neo4j_password(self) -> SecretStr | None: ...


def create(settings: GraphSettings) -> Neo4jSink | None:
    """Return the graph sink that the settings name, not connected yet; ``None`` for ``GRAPH_STORE=none``.

    Raises :class:`ValueError` that names the setting when one is missing or NEO4J_URI is no address of Neo4j.
    """
    if settings.graph_store == "none":
        return None
    if not settings.neo4j_uri or settings.neo4j_password is None:
        raise ValueError("GRAPH_STORE=neo4j needs NEO4J_URI and NEO4J_PASSWORD")
    scheme, _, host = settings.neo4j_uri.partition("://")
    if scheme not in SCHEMES or not host:
        raise ValueError(f"NEO4J_URI={settings.neo4j_uri}: expected bolt://host:7687 or neo4j://host:7687")
    return Neo4jSink(settings.neo4j_uri, settings.neo4j_user, settings.neo4j_password.get_secret_value())
