"""What only Neo4j has: constraints, indexes, locks within a transaction, subqueries."""

from __future__ import annotations

from typing import LiteralString

SCHEMA: dict[str, LiteralString] = {
    "memory_identity": "CREATE CONSTRAINT memory_identity IF NOT EXISTS "
    "FOR (m:Memory) REQUIRE (m.project, m.id) IS UNIQUE",
    "entity_identity": "CREATE CONSTRAINT entity_identity IF NOT EXISTS "
    "FOR (e:Entity) REQUIRE (e.project, e.key) IS UNIQUE",
    "tombstone_identity": "CREATE CONSTRAINT tombstone_identity IF NOT EXISTS "
    "FOR (t:Tombstone) REQUIRE (t.project, t.id) IS UNIQUE",
    "project_identity": "CREATE CONSTRAINT project_identity IF NOT EXISTS FOR (p:Project) REQUIRE p.name IS UNIQUE",
    "relates_provenance": "CREATE INDEX relates_provenance IF NOT EXISTS "
    "FOR ()-[r:RELATES]-() ON (r.project, r.memory_id)",
}
"""How each constraint and index is made, by name."""
INDEXES: LiteralString = "SHOW INDEXES YIELD name, state, owningConstraint WHERE name IN $names"
AWAIT_INDEXES: LiteralString = "UNWIND $names AS name CALL db.awaitIndex(name, 30)"
DROP_INDEX: LiteralString = "DROP INDEX $name IF EXISTS"
DROP_CONSTRAINT: LiteralString = "DROP CONSTRAINT $name IF EXISTS"

LOCK: LiteralString = """
UNWIND $projects AS name
MERGE (p:Project {name: name})
SET p.locked_at = timestamp()
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
    MATCH (e)-[r:RELATES]-(other:Entity)
    WHERE r.recorded_to IS NULL AND COUNT { (other)<-[:MENTIONS]-() } <= $hub
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
