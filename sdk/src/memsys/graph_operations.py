"""The operations on entities and the graph, described as in :mod:`memsys.operations`. No I/O."""

from __future__ import annotations

from datetime import datetime

from pydantic_core import to_json

from memsys.graph_models import EntityPage, Merge, Neighbours, Paths, Rebuilds, Timeline
from memsys.operations import Call, Scope
from memsys.paths import text_segment


def _query(scope: Scope, **values: str | int | datetime | None) -> dict[str, str]:
    texts = {name: v.isoformat() if isinstance(v, datetime) else str(v) for name, v in values.items() if v is not None}
    return {**scope.given(), **texts}


def _entity_path(name: str, what: str) -> str:
    return f"/graph/entities/{text_segment('entity', name)}/{what}"


def entities(*, scope: Scope, query: str | None, limit: int | None, cursor: str | None) -> Call[EntityPage]:
    values = _query(scope, query=query, limit=limit, cursor=cursor)
    return Call("GET", "/entities", EntityPage, query=values, repeatable=True)


def merge_entities(source: str, into: str, *, reason: str | None) -> Call[Merge]:
    """Not repeatable: a second attempt would meet the first as merged already."""
    body = {"from": source, "into": into} | ({} if reason is None else {"reason": reason})
    return Call("POST", "/entities/merge", Merge, body=to_json(body))


def unmerge_entity(source: str) -> Call[Merge]:
    return Call("POST", "/entities/unmerge", Merge, body=to_json({"from": source}))


def neighbours(
    name: str,
    *,
    scope: Scope,
    depth: int | None,
    limit: int | None,
    as_of: datetime | None,
    valid_at: datetime | None,
) -> Call[Neighbours]:
    query = _query(scope, depth=depth, limit=limit, as_of=as_of, valid_at=valid_at)
    return Call("GET", _entity_path(name, "neighbours"), Neighbours, query=query, repeatable=True)


def paths(
    source: str,
    target: str,
    *,
    scope: Scope,
    depth: int | None,
    limit: int | None,
    as_of: datetime | None,
    valid_at: datetime | None,
) -> Call[Paths]:
    query = _query(scope, depth=depth, limit=limit, as_of=as_of, valid_at=valid_at)
    return Call("GET", "/graph/paths", Paths, query={"from": source, "to": target, **query}, repeatable=True)


def timeline(name: str, *, scope: Scope, limit: int | None, as_of: datetime | None) -> Call[Timeline]:
    query = _query(scope, limit=limit, as_of=as_of)
    return Call("GET", _entity_path(name, "timeline"), Timeline, query=query, repeatable=True)


def rebuild_graph() -> Call[Rebuilds]:
    return Call("POST", "/graph/rebuild", Rebuilds, repeatable=True)


def graph_rebuilds() -> Call[Rebuilds]:
    return Call("GET", "/graph/rebuild", Rebuilds, repeatable=True)
