"""The schema: laid once whoever comes first, whole or not at all, by either kind of role."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from memsys_api.store import generations, migrate
from memsys_api.store.migrate import Migration, MigrationError

from .conftest import Dsn, Fleet
from .support.parts import WordEmbedder
from .support.waiting import until


def _tables(dsn: Dsn) -> set[str]:
    with psycopg.connect(dsn.superuser) as conn:
        return {r[0] for r in conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def _ledger(dsn: Dsn) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn.superuser) as conn:
        return conn.execute("SELECT number, name FROM schema_migrations ORDER BY number").fetchall()


async def test_replicas_that_start_together_apply_each_migration_once(bare_dsn: Dsn) -> None:
    counting = Migration(9001, "count", "CREATE TABLE counted (n int); INSERT INTO counted VALUES (1)")
    plan = [*migrate.load(), counting]
    await asyncio.gather(*(migrate.migrate(bare_dsn.owner, "memsys_app", plan) for _ in range(6)))
    with psycopg.connect(bare_dsn.superuser) as conn:
        assert conn.execute("SELECT count(*) FROM counted").fetchone() == (1,)
    assert [row[0] for row in _ledger(bare_dsn)] == [m.number for m in plan]


async def test_replicas_that_start_together_make_one_generation(bare_dsn: Dsn) -> None:
    await migrate.migrate(bare_dsn.owner, "memsys_app")
    made = await asyncio.gather(
        *(
            generations.ensure_active(
                bare_dsn.owner, "memsys_app", provider="p", model="m", dimensions=8, precision="halfvec"
            )
            for _ in range(6)
        )
    )
    assert {g.id for g in made} == {1}
    assert {t for t in _tables(bare_dsn) if t.startswith("embeddings_")} == {"embeddings_1"}


async def test_a_crash_in_the_middle_leaves_nothing_and_the_next_start_finishes(bare_dsn: Dsn) -> None:
    halting = Migration(
        1, "halting", "CREATE TABLE first_half (n int); SELECT pg_sleep(60); CREATE TABLE second (n int)"
    )
    running = asyncio.create_task(migrate.migrate(bare_dsn.owner, None, [halting]))
    with psycopg.connect(bare_dsn.superuser, autocommit=True) as watcher:

        def sleeping() -> int | None:
            row = watcher.execute(
                "SELECT pid FROM pg_stat_activity WHERE query LIKE '%first_half%' AND wait_event = 'PgSleep'"
            ).fetchone()
            return row[0] if row else None

        await until("the migration is in its middle", sleeping)
        watcher.execute("SELECT pg_terminate_backend(%s)", (sleeping(),))
    with pytest.raises(Exception, match="terminat"):
        await running
    assert "first_half" not in _tables(bare_dsn)
    assert _ledger(bare_dsn) == []
    await migrate.migrate(bare_dsn.owner, "memsys_app")
    assert "memory_versions" in _tables(bare_dsn)


async def test_a_migration_that_waits_for_a_reader_holds_nobody_up(dsn: Dsn) -> None:
    """An export reads for as long as its reader takes, and the replicas of the release before go on meanwhile."""
    async with Fleet(dsn).replica() as api:
        [added] = await api.add("written before")
        changing = Migration(9001, "changing", "ALTER TABLE memory_versions ADD COLUMN another int")
        with psycopg.connect(dsn.superuser) as export, psycopg.connect(dsn.superuser, autocommit=True) as watcher:
            export.execute("SELECT count(*) FROM memory_versions")
            running = asyncio.create_task(migrate.migrate(dsn.owner, "memsys_app", [changing]))

            def waits() -> bool:
                found = "SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted"
                return watcher.execute(found).fetchone() is not None

            await until("the migration waits for the export", waits)
            async with asyncio.timeout(5):  # less than a statement may take
                assert (await api.client.get(f"/memories/{added['id']}")).status_code == 200
                await api.add("written meanwhile")
            assert not running.done()
        await running
        await api.add("written after")
    assert _ledger(dsn)[-1] == (9001, "changing")


async def test_a_second_run_changes_nothing(bare_dsn: Dsn) -> None:
    await migrate.migrate(bare_dsn.owner, "memsys_app")
    before = _ledger(bare_dsn), _tables(bare_dsn)
    await migrate.migrate(bare_dsn.owner, "memsys_app")
    assert (_ledger(bare_dsn), _tables(bare_dsn)) == before


async def test_a_migration_whose_contents_changed_is_refused(bare_dsn: Dsn) -> None:
    await migrate.migrate(bare_dsn.owner, None, [Migration(1, "one", "CREATE TABLE a (n int)")])
    with pytest.raises(MigrationError, match="0001_one"):
        await migrate.migrate(bare_dsn.owner, None, [Migration(1, "one", "CREATE TABLE b (n int)")])
    assert "b" not in _tables(bare_dsn)


async def test_everything_works_where_one_role_owns_and_serves(bare_dsn: Dsn) -> None:
    fleet = Fleet(bare_dsn)
    async with fleet.replica(DATABASE_URL=bare_dsn.owner, DATABASE_OWNER_URL=None) as api:
        [added] = await api.add("one role", user_id="u")
        assert (await api.search("one role", user_id="u"))[0]["id"] == added["id"]
    with psycopg.connect(bare_dsn.owner) as conn:  # the wall stands before the owner too
        assert conn.execute("SELECT count(*) FROM memory_versions").fetchone() == (0,)


@pytest.mark.parametrize(("precision", "column"), [("halfvec", "halfvec(64)"), ("float32", "vector(64)")])
async def test_vectors_are_typed_by_precision_and_dimensions(bare_dsn: Dsn, precision: str, column: str) -> None:
    async with Fleet(bare_dsn).replica(VECTOR_PRECISION=precision) as api:
        [added] = await api.add("typed")
        assert (await api.search("typed"))[0]["id"] == added["id"]
    with psycopg.connect(bare_dsn.superuser) as conn:
        row = conn.execute(
            """SELECT format_type(atttypid, atttypmod) FROM pg_attribute
               WHERE attrelid = 'embeddings_1'::regclass AND attname = 'embedding'"""
        ).fetchone()
    assert row == (column,)


async def test_another_embedder_than_the_stored_one_is_refused_with_both_numbers(dsn: Dsn) -> None:
    async with Fleet(dsn).replica(embedder=WordEmbedder(64)) as api:
        await api.add("kept")
    with pytest.raises(generations.EmbedderMismatch, match=r"64 dimensions.*with 128") as refusal:
        await generations.ensure_active(
            dsn.owner, "memsys_app", provider="test", model="words", dimensions=128, precision="halfvec"
        )
    assert "EMBEDDER_DIMENSIONS" in str(refusal.value)
