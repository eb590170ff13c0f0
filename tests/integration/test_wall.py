"""Row-level security: what the serving role sees without the API's own scope, and that its indexes are still used."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from .conftest import Dsn, Replica

TENANT_TABLES = (
    "memory_versions", "embeddings_1", "entities", "mentions", "relations", "merges", "outbox", "idempotency", "audit",
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
    assert with_project - walled == {"deliveries"}  # the queue: ids alone, served across projects
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
               SELECT CASE WHEN n % 2 = 0 THEN 'one' ELSE 'two' END, gen_random_uuid(), 1, 'active',
                      'u' || n % 200, n, 'word' || n % 997 || ' text', md5(n::text), jsonb_build_object('n', n % 991),
                      now(), now(), now(), to_tsvector('english', 'word' || n % 997 || ' text' || n % 13)
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


async def _plan_after_ten(dsn: Dsn, statement: sql.Composed, parameters: dict[str, object]) -> str:
    """The plan the serving role gets once psycopg has prepared and PostgreSQL may have settled on a generic one."""
    async with await psycopg.AsyncConnection.connect(dsn.app, autocommit=True) as conn:
        await register(conn)
        async with conn.transaction():
            await conn.execute("SELECT set_config('memsys.project', 'one', true)")
            await conn.execute("SET LOCAL jit = off")
            explained = sql.SQL("EXPLAIN ") + statement
            for _ in range(10):
                cursor = await conn.execute(explained, parameters)
            return "\n".join(row[0] for row in await cursor.fetchall())


async def register(conn: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
    from pgvector.psycopg import register_vector_async

    await register_vector_async(conn)
