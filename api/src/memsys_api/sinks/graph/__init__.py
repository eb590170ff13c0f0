"""The graph as a projection of PostgreSQL: on Neo4j or Amazon Neptune. The only room that imports neo4j."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from memsys_api.ports import GraphSink
from memsys_api.sinks.graph.content import content_hash
from memsys_api.sinks.graph.neo4j_sink import Neo4jSink
from memsys_api.sinks.graph.neptune import NeptuneSink

__all__ = ["GraphSettings", "Neo4jSink", "NeptuneSink", "content_hash", "create"]

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
    @property
    def neptune_endpoint(self) -> str | None: ...
    @property
    def neptune_iam(self) -> bool: ...
    @property
    def aws_region(self) -> str | None: ...


def create(settings: GraphSettings) -> GraphSink | None:
    """Return the graph sink that the settings name, not connected yet; ``None`` for ``GRAPH_STORE=none``.

    Raises :class:`ValueError` that names the setting when one is missing or NEO4J_URI is no address of Neo4j.
    """
    if settings.graph_store == "none":
        return None
    if settings.graph_store == "neptune":
        return _neptune(settings)
    if not settings.neo4j_uri or settings.neo4j_password is None:
        raise ValueError("GRAPH_STORE=neo4j needs NEO4J_URI and NEO4J_PASSWORD")
    scheme, _, host = settings.neo4j_uri.partition("://")
    if scheme not in SCHEMES or not host:
        raise ValueError(f"NEO4J_URI={settings.neo4j_uri}: expected bolt://host:7687 or neo4j://host:7687")
    return Neo4jSink(settings.neo4j_uri, settings.neo4j_user, settings.neo4j_password.get_secret_value())


def _neptune(settings: GraphSettings) -> NeptuneSink:
    endpoint = settings.neptune_endpoint or ""
    if urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname:
        raise ValueError(f"NEPTUNE_ENDPOINT={endpoint}: expected https://<cluster endpoint>:8182")
    if settings.neptune_iam and not settings.aws_region:
        raise ValueError("NEPTUNE_IAM needs AWS_REGION, the region that requests are signed for")
    return NeptuneSink(endpoint, settings.aws_region if settings.neptune_iam else None)
