"""Every statement the graph is made with, as constants. Values come only as parameters; no name is ever put together.

(:Memory {project, id, version, text, event_time, user_id, agent_id, app_id, run_id})
(:Entity {project, key, name, kind, precedence})
(:Tombstone {project, id, version})      what is left of a deleted memory: an older write must not raise it
(:Project {name})                        locked by every write, so that the writes of a project come one after another
(:Memory)-[:MENTIONS {name, kind, precedence}]->(:Entity)
(:Entity)-[:RELATES {project, memory_id, version, predicate, valid_from, valid_to,
                     recorded_from, recorded_to}]->(:Entity)
                                         one for each memory that states it: that is its provenance
"""

from __future__ import annotations

from typing import LiteralString

SCHEMA: tuple[LiteralString, ...] = (
    "CREATE CONSTRAINT memory_identity IF NOT EXISTS FOR (m:Memory) REQUIRE (m.project, m.id) IS UNIQUE",
    "CREATE CONSTRAINT entity_identity IF NOT EXISTS FOR (e:Entity) REQUIRE (e.project, e.key) IS UNIQUE",
    "CREATE CONSTRAINT tombstone_identity IF NOT EXISTS FOR (t:Tombstone) REQUIRE (t.project, t.id) IS UNIQUE",
    "CREATE CONSTRAINT project_identity IF NOT EXISTS FOR (p:Project) REQUIRE p.name IS UNIQUE",
    "CREATE INDEX relates_provenance IF NOT EXISTS FOR ()-[r:RELATES]-() ON (r.project, r.memory_id)",
)
AWAIT_INDEXES: LiteralString = "CALL db.awaitIndexes(30)"

PING: LiteralString = "RETURN 1"

LOCK: LiteralString = """
UNWIND $projects AS name
MERGE (p:Project {name: name})
SET p.locked_at = timestamp()
"""

HELD: LiteralString = """
UNWIND $records AS record
OPTIONAL MATCH (m:Memory {project: record.project, id: record.id})
OPTIONAL MATCH (t:Tombstone {project: record.project, id: record.id})
WITH record, m, t
WHERE m IS NOT NULL OR t IS NOT NULL
RETURN record.project AS project, record.id AS id,
       reduce(highest = -1, v IN [m.version, t.version] | CASE WHEN v > highest THEN v ELSE highest END) AS version
"""

# What the memories said until now goes; the keys of what they mentioned are returned, some may be orphans now.
CLEAR_RELATIONS: LiteralString = """
UNWIND $records AS record
MATCH ()-[r:RELATES {project: record.project, memory_id: record.id}]->()
DELETE r
"""
CLEAR_MENTIONS: LiteralString = """
UNWIND $records AS record
MATCH (:Memory {project: record.project, id: record.id})-[x:MENTIONS]->(e:Entity)
DELETE x
RETURN DISTINCT e.project AS project, e.key AS key
"""

WRITE_MEMORIES: LiteralString = """
UNWIND $rows AS row
MERGE (m:Memory {project: row.project, id: row.id})
SET m = row.properties
WITH row
MATCH (t:Tombstone {project: row.project, id: row.id})
DELETE t
"""
WRITE_MENTIONS: LiteralString = """
UNWIND $rows AS row
MATCH (m:Memory {project: row.project, id: row.id})
MERGE (e:Entity {project: row.project, key: row.key})
CREATE (m)-[:MENTIONS {name: row.name, kind: row.kind, precedence: row.precedence}]->(e)
"""
# An entity shows the name of the greatest precedence among its mentions, so that the order of writing does not matter.
WRITE_NAMES: LiteralString = """
UNWIND $rows AS row
MATCH (e:Entity {project: row.project, key: row.key})
WHERE coalesce(e.precedence, '') < row.precedence
SET e.name = row.name, e.kind = row.kind, e.precedence = row.precedence
"""
WRITE_RELATIONS: LiteralString = """
UNWIND $rows AS row
MATCH (s:Entity {project: row.project, key: row.subject})
MATCH (o:Entity {project: row.project, key: row.object})
CREATE (s)-[r:RELATES]->(o)
SET r = row.properties
"""
WRITE_TOMBSTONES: LiteralString = """
UNWIND $records AS record
OPTIONAL MATCH (m:Memory {project: record.project, id: record.id})
DETACH DELETE m
WITH DISTINCT record
MERGE (t:Tombstone {project: record.project, id: record.id})
SET t.version = record.version
"""

REMOVE_ORPHANS: LiteralString = """
UNWIND $keys AS row
MATCH (e:Entity {project: row.project, key: row.key})
WHERE NOT EXISTS { (e)<-[:MENTIONS]-() }
DETACH DELETE e
"""
# When the mention that gave an entity its name went, the next takes its place.
RENAME: LiteralString = """
UNWIND $keys AS row
MATCH (e:Entity {project: row.project, key: row.key})
WHERE NOT EXISTS { (e)<-[x:MENTIONS]-() WHERE x.precedence = e.precedence }
MATCH (e)<-[x:MENTIONS]-()
WITH e, x ORDER BY x.precedence DESC
WITH e, head(collect(x)) AS first
SET e.name = first.name, e.kind = first.kind, e.precedence = first.precedence
"""

# An entity that a great many memories mention tells them apart no more: it is not followed.
NEIGHBOURS: LiteralString = """
MATCH (e:Entity {project: $project})
WHERE e.key IN $keys
WITH e, COUNT { (e)<-[:MENTIONS]-() } AS degree
WHERE degree <= $hub
CALL (e, degree) {
    RETURN e AS near, 1.0 AS hop
    UNION
    MATCH (e)-[:RELATES]-(other:Entity)
    WHERE COUNT { (other)<-[:MENTIONS]-() } <= $hub
    RETURN DISTINCT other AS near, 0.5 AS hop
    LIMIT 20
}
WITH near, max(hop / (1.0 + log(1.0 + degree))) AS weight
MATCH (m:Memory)-[:MENTIONS]->(near)
WHERE m.project = $project
  AND ($user_id IS NULL OR m.user_id = $user_id) AND ($agent_id IS NULL OR m.agent_id = $agent_id)
  AND ($app_id IS NULL OR m.app_id = $app_id) AND ($run_id IS NULL OR m.run_id = $run_id)
WITH m, sum(weight) AS total
RETURN m.id AS id, 1.0 - exp(-total) AS weight
ORDER BY weight DESC, m.event_time DESC, id
LIMIT $limit
"""

READ: LiteralString = """
MATCH (m:Memory)
WHERE m.project = $project AND m.id > $after
WITH m ORDER BY m.id LIMIT $limit
RETURN m.id AS id, m.version AS version, m.text AS text,
       [(m)-[:MENTIONS]->(e:Entity) | e.key] AS keys
"""
READ_RELATIONS: LiteralString = """
UNWIND $ids AS id
MATCH (s:Entity)-[r:RELATES {project: $project, memory_id: id}]->(o:Entity)
RETURN id, s.key AS subject, r.predicate AS predicate, o.key AS object,
       r.valid_from AS valid_from, r.valid_to AS valid_to
"""

# Outside of a transaction of the driver's: they commit as they go, so that a large project fits into memory.
WIPE: tuple[LiteralString, ...] = (
    "MATCH (m:Memory {project: $project}) CALL (m) { DETACH DELETE m } IN TRANSACTIONS OF 1000 ROWS",
    "MATCH (e:Entity {project: $project}) CALL (e) { DETACH DELETE e } IN TRANSACTIONS OF 1000 ROWS",
    "MATCH (t:Tombstone {project: $project}) CALL (t) { DELETE t } IN TRANSACTIONS OF 1000 ROWS",
    "MATCH (p:Project {name: $project}) DELETE p",
)
