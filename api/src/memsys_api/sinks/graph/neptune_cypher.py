"""What Amazon Neptune is asked otherwise: it has no subqueries and no locks that a statement could take.

openCypher as Neptune supports it: https://docs.aws.amazon.com/neptune/latest/userguide/feature-opencypher-compliance.html
"""

from __future__ import annotations

from typing import LiteralString

# Only so that the projects can be listed. Neptune locks what a statement of its own touches.
PROJECT: LiteralString = """
UNWIND $projects AS name
MERGE (p:Project {name: name})
"""

NEIGHBOURS: LiteralString = """
MATCH (e:Entity {project: $project})<-[:MENTIONS]-(x:Memory)
WHERE e.key IN $keys
WITH e, count(x) AS degree
WHERE degree <= $hub
OPTIONAL MATCH (e)-[r:RELATES]-(other:Entity)
WHERE r.recorded_to IS NULL
WITH e, degree, collect(DISTINCT other) AS others
RETURN e.key AS key, degree, [other IN others | other.key] AS others
"""
MENTIONING: LiteralString = """
MATCH (m:Memory)-[:MENTIONS]->(e:Entity {project: $project})
WHERE e.key IN $keys AND m.project = $project
  AND ($user_id IS NULL OR m.user_id = $user_id) AND ($agent_id IS NULL OR m.agent_id = $agent_id)
  AND ($app_id IS NULL OR m.app_id = $app_id) AND ($run_id IS NULL OR m.run_id = $run_id)
RETURN e.key AS key, m.id AS id, m.event_time AS event_time
LIMIT $limit
"""
