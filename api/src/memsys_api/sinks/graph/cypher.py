"""The statements the graph is made with, as constants. Values come only as parameters; no name is ever put together.

(:Memory {project, id, version, text, event_time, user_id, agent_id, app_id, run_id})
(:Entity {project, key, name, kind, revision})
(:Tombstone {project, id, version})      what is left of a deleted memory: an older write must not raise it
(:Project {name})                        locked by every write, so that the writes of a project come one after another
(:Memory)-[:MENTIONS]->(:Entity)
(:Entity)-[:RELATES {project, memory_id, version, predicate, valid_from, valid_to,
                     recorded_from, recorded_to}]->(:Entity)
                                         one for each version of a memory that states it: that is its provenance.
                                         The newest version's has no recorded_to, those of earlier ones have ended.

They are written in what Neo4j and Amazon Neptune both understand; what only one of them has stands in a module of its
own.
"""

from __future__ import annotations

from typing import LiteralString

PING: LiteralString = "RETURN 1 AS answer"

HELD: LiteralString = """
UNWIND $records AS record
OPTIONAL MATCH (m:Memory {project: record.project, id: record.id})
OPTIONAL MATCH (t:Tombstone {project: record.project, id: record.id})
WITH record, m, t
WHERE m IS NOT NULL OR t IS NOT NULL
RETURN record.project AS project, record.id AS id, m.version AS living, t.version AS buried
"""

# What the memories said until now goes; what they spoke of is returned, some of it may be orphaned now.
CLEAR_RELATIONS: LiteralString = """
UNWIND $records AS record
MATCH (s)-[r:RELATES {project: record.project, memory_id: record.id}]->(o)
DELETE r
RETURN DISTINCT record.project AS project, s.key AS subject, o.key AS object
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
SET m.version = row.version, m.text = row.text, m.event_time = row.event_time,
    m.user_id = row.user_id, m.agent_id = row.agent_id, m.app_id = row.app_id, m.run_id = row.run_id
WITH row
MATCH (t:Tombstone {project: row.project, id: row.id})
DELETE t
"""
# A name that PostgreSQL gave later stays, whichever memory brings which. An entity comes to be together with what holds
# it, so that nobody takes it for an orphan in between.
WRITE_MENTIONS: LiteralString = """
UNWIND $rows AS row
MATCH (m:Memory {project: row.project, id: row.id})
MERGE (e:Entity {project: row.project, key: row.key})
CREATE (m)-[:MENTIONS]->(e)
WITH e, row
WHERE coalesce(e.revision, 0) <= row.revision
SET e.name = row.name, e.kind = row.kind, e.revision = row.revision
"""
# Those that only relations of earlier versions speak of.
WRITE_ENTITIES: LiteralString = """
UNWIND $rows AS row
MERGE (e:Entity {project: row.project, key: row.key})
WITH e, row
WHERE coalesce(e.revision, 0) <= row.revision
SET e.name = row.name, e.kind = row.kind, e.revision = row.revision
"""
WRITE_RELATIONS: LiteralString = """
UNWIND $rows AS row
MATCH (s:Entity {project: row.project, key: row.subject})
MATCH (o:Entity {project: row.project, key: row.object})
CREATE (s)-[r:RELATES {project: row.project, memory_id: row.memory_id, version: row.version}]->(o)
SET r.predicate = row.predicate, r.valid_from = row.valid_from, r.valid_to = row.valid_to,
    r.recorded_from = row.recorded_from, r.recorded_to = row.recorded_to
"""
# Whatever is written next of these counts as newer.
DOUBT_NAMES: LiteralString = """
UNWIND $keys AS key
MATCH (e:Entity {project: $project, key: key})
SET e.revision = 0
"""
REMOVE_MEMORIES: LiteralString = """
UNWIND $records AS record
MATCH (m:Memory {project: record.project, id: record.id})
DETACH DELETE m
"""
WRITE_TOMBSTONES: LiteralString = """
UNWIND $records AS record
MERGE (t:Tombstone {project: record.project, id: record.id})
SET t.version = record.version
"""
REMOVE_TOMBSTONES: LiteralString = """
UNWIND $records AS record
MATCH (t:Tombstone {project: record.project, id: record.id})
DETACH DELETE t
"""
REMOVE_ORPHANS: LiteralString = """
UNWIND $keys AS row
MATCH (e:Entity {project: row.project, key: row.key})
WHERE NOT (e)--()
DELETE e
"""

READ: LiteralString = """
MATCH (m:Memory)
WHERE m.project = $project AND m.id > $after
WITH m ORDER BY m.id LIMIT $limit
OPTIONAL MATCH (m)-[:MENTIONS]->(e:Entity)
RETURN m.id AS id, m.version AS version, m.text AS text, m.event_time AS event_time,
       m.user_id AS user_id, m.agent_id AS agent_id, m.app_id AS app_id, m.run_id AS run_id,
       collect({key: e.key, name: e.name, kind: e.kind}) AS mentioned
ORDER BY id
"""
READ_RELATIONS: LiteralString = """
UNWIND $ids AS id
MATCH (s:Entity)-[r:RELATES {project: $project, memory_id: id}]->(o:Entity)
RETURN id, {key: s.key, name: s.name, kind: s.kind} AS subject, {key: o.key, name: o.name, kind: o.kind} AS object,
       r.version AS version, r.predicate AS predicate, r.valid_from AS valid_from, r.valid_to AS valid_to,
       r.recorded_from AS recorded_from, r.recorded_to AS recorded_to
"""
PROJECTS: LiteralString = "MATCH (p:Project) RETURN p.name AS name ORDER BY name"

# What only a change by hand leaves behind.
STRAY_RELATIONS: LiteralString = """
MATCH (s:Entity {project: $project})-[r:RELATES]->()
OPTIONAL MATCH (m:Memory {project: $project, id: r.memory_id})
WITH r, m
WHERE m IS NULL OR r.project IS NULL OR r.project <> $project
RETURN count(r) AS found
"""
SWEEP_RELATIONS: LiteralString = """
MATCH (s:Entity {project: $project})-[r:RELATES]->()
OPTIONAL MATCH (m:Memory {project: $project, id: r.memory_id})
WITH r, m
WHERE m IS NULL OR r.project IS NULL OR r.project <> $project
WITH r LIMIT $limit
DELETE r
RETURN count(r) AS found
"""
STRAY_ENTITIES: LiteralString = """
MATCH (e:Entity {project: $project})
WHERE NOT (e)--()
RETURN count(e) AS found
"""
SWEEP_ENTITIES: LiteralString = """
MATCH (e:Entity {project: $project})
WHERE NOT (e)--()
WITH e LIMIT $limit
DELETE e
RETURN count(e) AS found
"""

# What is left of memories beyond their tombstones: their nodes, or relations that they have stated.
HOLDING: LiteralString = """
UNWIND $ids AS id
OPTIONAL MATCH (m:Memory {project: $project, id: id})
OPTIONAL MATCH ()-[r:RELATES {project: $project, memory_id: id}]->()
WITH id, count(m) + count(r) AS left
WHERE left > 0
RETURN count(id) AS held
"""
