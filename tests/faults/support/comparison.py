"""Holds both stores against the ledger and against each other, with plain SQL and Cypher and nothing of the product."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import neo4j
import psycopg

from tests.support.neo4j_server import Neo4jServer

from .ledger import Ledger, Record

Rows = set[tuple[object, ...]]


@dataclass(frozen=True)
class Head:
    """A memory's newest version in PostgreSQL."""

    version: int
    text: str
    deleted: bool


def lost_or_doubled(url: str, ledger: Ledger) -> list[str]:
    """Everything in PostgreSQL that is not as it was acknowledged, a line each."""
    with psycopg.connect(url) as conn:
        rows = conn.execute(
            "SELECT id::text, version, text, state, recorded_to IS NULL FROM memory_versions"
        ).fetchall()
    versions = {(memory_id, version): text for memory_id, version, text, _, _ in rows}
    heads = {i: Head(version, text, state == "deleted") for i, version, text, state, newest in rows if newest}
    first = Counter(text for _, version, text, _, _ in rows if version == 1)
    wrong = [f"memory {i} has {n} heads" for i, n in Counter(row[0] for row in rows if row[4]).items() if n > 1]
    for record in ledger.records.values():
        wrong += _differs(record, heads.get(record.id))
        wrong += [
            f"{record.id} version {version}: acknowledged {text!r}, its history has {kept!r}"
            for version, text in record.versions.items()
            if (kept := versions.get((record.id, version))) != text
        ]
    wrong += [f"stored {n} times: {text!r}" for text, n in first.items() if n > 1]
    for key, texts in ledger.given_up.items():
        if len({first[text] for text in texts}) > 1:
            wrong.append(f"add {key} was stored in part: {[(text, first[text]) for text in texts]}")
    known = {record.versions[1] for record in ledger.records.values()} | {
        t for ts in ledger.given_up.values() for t in ts
    }
    wrong += [f"nobody wrote {text!r}" for text in first if text not in known]
    return wrong


def _differs(record: Record, head: Head | None) -> list[str]:
    newest = record.newest
    if head is None:
        return [f"{record.id} is missing: acknowledged was version {newest} {record.versions[newest]!r}"]
    if record.deleted or (record.perhaps_deleted and head.deleted):
        expected = Head(newest + 1, "", True)
    elif record.perhaps is not None and head.version == newest + 1:
        expected = Head(newest + 1, record.perhaps, False)
    else:
        expected = Head(newest, record.versions[newest], False)
    return [] if head == expected else [f"{record.id} is {head}, expected {expected}"]


def apart(url: str, graph: Neo4jServer) -> list[str]:
    """Everything that PostgreSQL and the graph do not both have, a line each."""
    truth, projection = _in_postgres(url), _in_graph(graph)
    return [
        f"{what} {row} is only in {where}"
        for what in truth
        for where, rows in (
            ("PostgreSQL", truth[what] - projection[what]),
            ("the graph", projection[what] - truth[what]),
        )
        for row in sorted(rows, key=str)
    ]


def _in_postgres(url: str) -> dict[str, Rows]:
    head = "JOIN memory_versions h USING (project, id, version) WHERE h.recorded_to IS NULL AND h.state = 'active'"
    questions = {
        "memory": "SELECT project, id::text, version, text, user_id FROM memory_versions "
        "WHERE recorded_to IS NULL AND state = 'active'",
        "mention": f"SELECT m.project, m.id::text, m.entity_key FROM "
        f"(SELECT project, memory_id AS id, version, entity_key FROM mentions) m {head}",
        "relation": f"SELECT r.project, r.id::text, r.subject_key, r.predicate, r.object_key FROM "
        f"(SELECT project, memory_id AS id, version, subject_key, predicate, object_key FROM relations) r {head}",
        "entity": "SELECT project, key, name, kind FROM entities",
    }
    with psycopg.connect(url) as conn:
        found = {what: set(conn.execute(question).fetchall()) for what, question in questions.items()}
    mentioned = {(project, key) for project, _, key in found["mention"]}
    found["entity"] = {row for row in found["entity"] if row[:2] in mentioned}
    return found


def _in_graph(server: Neo4jServer) -> dict[str, Rows]:
    questions = {
        "memory": "MATCH (m:Memory) RETURN m.project, m.id, m.version, m.text, m.user_id",
        "mention": "MATCH (m:Memory)-[:MENTIONS]->(e:Entity) RETURN m.project, m.id, e.key",
        "relation": "MATCH (s:Entity)-[r:RELATES]->(o:Entity) WHERE r.recorded_to IS NULL "
        "RETURN r.project, r.memory_id, s.key, r.predicate, o.key",
        "entity": "MATCH (e:Entity) RETURN e.project, e.key, e.name, e.kind",
    }
    found: dict[str, Rows] = {}
    quiet = neo4j.NotificationMinimumSeverity.OFF
    auth = (server.user, server.password)
    with neo4j.GraphDatabase.driver(server.uri, auth=auth, notifications_min_severity=quiet) as driver:
        for what, question in questions.items():
            rows = [tuple(row.values()) for row in driver.execute_query(question).records]  # type: ignore[arg-type]
            found[what] = set(rows)
            twice = [row for row, n in Counter(rows).items() if n > 1]
            assert not twice, f"the graph has each of these {what} rows more than once: {twice[:20]}"
    return found
