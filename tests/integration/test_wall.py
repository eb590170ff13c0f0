"""Row-level security: what the serving role sees without the API's own scope, and that its indexes are still used."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import psycopg
import pytest
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.types.json import Jsonb

from memsys_api.filters import parse
from memsys_api.model import Scope
from memsys_api.store import candidates, contents
from memsys_api.store.filters import conditions

from .conftest import Dsn, Replica

TENANT_TABLES = (
    "memory_versions", "embeddings_1", "entities", "mentions", "relations", "merges", "outbox", "idempotency", "audit",
    "inference_requests", "policies", "llm_usage", "erased", "held", "webhooks", "outbox_horizons",
    "add_events", "feedback", "shaped_exports",
)  # fmt: skip


async def _fill(api: Replica, project: str) -> str:
    answer = await api.client.post(
        "/memories",
        json={"messages": f"Alice met Bob in {project.title()}", "user_id": "u"},
        headers={"X-Memsys-Project": project, "Idempotency-Key": "k"},
    )
    return str(answer.json()["results"][0]["id"])


def test_every_table_with_a_project_is_walled_or_known_not_to_be(dsn: Dsn, api: Replica) -> None:
    with psycopg.connect(dsn.superuser) as conn:
        walled = {
            row[0]
            for row in conn.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relrowsecurity AND relforcerowsecurity"
            )
        }
        with_project = {
            row[0]
            for row in conn.execute(
                "SELECT table_name FROM information_schema.columns "
                "WHERE table_schema = 'public' AND column_name = 'project'"
            )
        }
        leading = {
            row[0]: row[1]
            for row in conn.execute(
                """SELECT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
                   JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] WHERE i.indisprimary"""
            )
        }
    assert walled == set(TENANT_TABLES)
    # The queues: ids alone, served across projects.
    assert with_project - walled == {
        "deliveries", "inferences", "erasures", "rebuilds", "shaping_jobs", "webhook_deliveries", "webhook_returns",
    }  # fmt: skip
    assert {leading[table] for table in with_project} == {"project"}


@pytest.mark.parametrize("role", ["app", "owner"])
async def test_without_a_project_nothing_is_seen_and_with_one_only_its_own(dsn: Dsn, api: Replica, role: str) -> None:
    await _fill(api, "one")
    await _fill(api, "two")
    with psycopg.connect(getattr(dsn, role)) as conn:
        for table in TENANT_TABLES:
            count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
            assert conn.execute(count).fetchone() == (0,), table
        conn.execute("SELECT set_config('memsys.project', 'one', true)")
        for table in ("memory_versions", "embeddings_1", "outbox", "idempotency"):
            projects = conn.execute(sql.SQL("SELECT DISTINCT project FROM {}").format(sql.Identifier(table))).fetchall()
            assert projects == [("one",)], table
        conn.rollback()
        assert conn.execute("SELECT count(*) FROM memory_versions").fetchone() == (0,)


async def test_writing_into_another_project_is_refused_by_the_database(dsn: Dsn, api: Replica) -> None:
    await _fill(api, "one")
    await _fill(api, "two")
    with psycopg.connect(dsn.app, autocommit=True) as conn, conn.transaction():
        conn.execute("SELECT set_config('memsys.project', 'one', true)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), conn.transaction():
            conn.execute("INSERT INTO entities (project, key, name, kind) VALUES ('two', 'x', 'X', 'entity')")
        assert conn.execute("UPDATE memory_versions SET text = 'mine' WHERE project = 'two'").rowcount == 0
        assert conn.execute("DELETE FROM memory_versions WHERE project = 'two'").rowcount == 0


def test_the_serving_role_can_neither_bypass_nor_rewrite_the_past(dsn: Dsn, api: Replica) -> None:
    with psycopg.connect(dsn.app, autocommit=True) as conn:
        row = conn.execute("SELECT rolbypassrls, rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        assert row == (False, False)
        for forbidden in (
            "ALTER TABLE memory_versions DISABLE ROW LEVEL SECURITY",
            "DROP POLICY project_wall ON memory_versions",
            "UPDATE audit SET actor = 'nobody'",
            "DELETE FROM audit",
            "INSERT INTO schema_migrations VALUES (99, 'x', 'x')",
            "CREATE TABLE mine (id int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(forbidden)


async def _grow(dsn: Dsn, rows: int) -> None:
    """Many small scopes and one large, in two projects, with statistics."""
    with psycopg.connect(dsn.superuser, autocommit=True) as conn:
        conn.execute(
            """INSERT INTO memory_versions (project, id, version, state, user_id, seq, text, hash, metadata,
                   event_time, created_at, recorded_from, lexemes)
               SELECT CASE WHEN n %% 2 = 0 THEN 'one' ELSE 'two' END, gen_random_uuid(), 1, 'active',
                      'u' || n %% 200, n, 'word' || n %% 997, md5(n::text), jsonb_build_object('n', n %% 991),
                      now(), now(), now(), to_tsvector('english', 'word' || n %% 997 || ' text' || n %% 13)
               FROM generate_series(1, %s) n""",
            (rows,),
        )
        conn.execute(
            """INSERT INTO embeddings_1 (project, memory_id, version, user_id, head, embedding)
               SELECT project, id, version, user_id, true,
                      (SELECT array_agg(random() - .5 + n * 0 * seq) FROM generate_series(1, 64) n)::vector::halfvec
               FROM memory_versions"""
        )
        conn.execute("ANALYZE")


def _plans_after_ten(
    dsn: Dsn, statement: sql.Composable, parameters: dict[str, Any], planning: str = "SELECT 1"
) -> list[str]:
    """What the serving role gets of the prepared statement after ten executions, and at worst: the generic plan."""
    with psycopg.connect(dsn.app, autocommit=True) as conn:
        register_vector(conn)
        names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement.as_string(conn))))
        numbered = re.sub(r"%\((\w+)\)s", lambda m: f"${names.index(m[1]) + 1}", statement.as_string(conn))
        values = sql.SQL(", ").join(sql.Literal(parameters[name]) for name in names)
        execute = sql.SQL("EXECUTE probe ({})").format(values).as_string(conn)
        conn.execute(f"PREPARE probe AS {numbered}".encode())
        plans = []
        for mode in ("auto", "force_generic_plan"):
            with conn.transaction():
                conn.execute("SELECT set_config('memsys.project', 'one', true)")
                conn.execute("SELECT set_config('plan_cache_mode', %s, true)", (mode,))
                conn.execute(planning)
                for _ in range(10):
                    conn.execute(execute.encode())
                rows = conn.execute(b"EXPLAIN " + execute.encode()).fetchall()
                plans.append("\n".join(row[0] for row in rows))
        return plans


async def test_a_scan_reads_its_scope_once_behind_the_wall(dsn: Dsn, api: Replica) -> None:
    await _grow(dsn, 20_000)
    embedding = (await api.embedder.embed(["word5"]))[0]
    for scope, expected in (
        (Scope("one", "u2"), ("_project_user_id_idx", "memory_user")),
        (Scope("one"), ()),
    ):
        statement = candidates.build(api.service.generation, scope, reach=2, way="scan")
        parameters = statement.parameters | {
            "vector": contents.vector(api.service.generation, embedding), "query": "word5 text3",
            "spellings": ["word5 text3"], "named": [],
            "rows": 100, "mean_length": 3.0, "common": [], "shares": [],
        }  # fmt: skip
        for plan in _plans_after_ten(dsn, sql.SQL(statement.text.decode()), parameters, statement.planning):
            for index in expected:
                assert index in plan, plan
            # Each table once, and no index of words, which would be read for all projects.
            assert plan.count(" on memory_versions ") == plan.count(" on embeddings_1 ") == 1, plan
            assert "memory_lexemes" not in plan, plan


async def test_reads_by_id_and_metadata_use_their_indexes_behind_the_wall(dsn: Dsn, api: Replica) -> None:
    await _grow(dsn, 20_000)
    for statement, parameters, index in (
        ("SELECT * FROM memory_versions m WHERE m.project = %(project)s AND m.id = %(id)s AND m.recorded_to IS NULL",
         {"project": "one", "id": UUID(int=5)}, "memory_heads"),
        ("SELECT * FROM memory_versions m WHERE m.project = %(project)s AND m.recorded_to IS NULL "
         "AND m.metadata @> %(wanted)s", {"project": "one", "wanted": Jsonb({"n": 7})}, "memory_metadata"),
        ("SELECT * FROM memory_versions m WHERE m.project = %(project)s AND m.user_id = %(user)s "
         "ORDER BY m.seq DESC LIMIT 10", {"project": "one", "user": "u2"}, "memory_user"),
    ):  # fmt: skip
        for plan in _plans_after_ten(dsn, sql.SQL(statement), parameters):
            assert index in plan, plan


async def test_a_search_through_the_indexes_reads_no_table_whole_behind_the_wall(dsn: Dsn, api: Replica) -> None:
    await _grow(dsn, 20_000)
    with psycopg.connect(dsn.owner, autocommit=True) as conn:
        conn.execute(
            "CREATE INDEX nearest ON embeddings_1 USING hnsw (embedding halfvec_cosine_ops) "
            "WHERE project = 'one' AND head"
        )
    embedding = (await api.embedder.embed(["word5"]))[0]
    statement = candidates.build(api.service.generation, Scope("one"), reach=2, way="indexes")
    parameters = statement.parameters | {
        "vector": contents.vector(api.service.generation, embedding), "query": "word5 text3",
            "spellings": ["word5 text3"], "named": [],
        "rows": 10_000, "mean_length": 3.0, "common": ["text3"], "shares": [0.077],
    }  # fmt: skip
    for plan in _plans_after_ten(dsn, sql.SQL(statement.text.decode()), parameters, statement.planning):
        for index in ("using nearest", "memory_lexemes", "memory_heads", "memory_thread", "embeddings_1_pkey"):
            assert index in plan, plan
        assert "Seq Scan" not in plan, plan


async def test_a_part_of_a_project_is_looked_for_through_its_index_and_only_else_compared(
    dsn: Dsn, api: Replica
) -> None:
    await _grow(dsn, 20_000)
    with psycopg.connect(dsn.owner, autocommit=True) as conn:
        conn.execute(
            "CREATE INDEX nearest ON embeddings_1 USING hnsw (embedding halfvec_cosine_ops) "
            "WHERE project = 'one' AND head"
        )
    embedding = (await api.embedder.embed(["word5"]))[0]
    for filters in ((), conditions(parse({"n": {"gte": 0}}).rest)):
        statement = candidates.build(
            api.service.generation, Scope("one", "u2"), reach=2, way="indexes", filters=filters
        )
        parameters = statement.parameters | {
            "vector": contents.vector(api.service.generation, embedding), "query": "word5 text3",
            "spellings": ["word5 text3"], "named": [],
            "rows": 4_000, "mean_length": 3.0, "common": ["text3"], "shares": [0.077],
        }  # fmt: skip
        for plan in _plans_after_ten(dsn, sql.SQL(statement.text.decode()), parameters, statement.planning):
            passed = plan.partition("CTE soon")[2].partition("InitPlan")[0]
            assert "using nearest" in passed, plan
            assert "Sort" not in passed, plan
            assert re.search(r"One-Time Filter: \(+InitPlan \d+\)\.col1 < 24\)", plan), plan
