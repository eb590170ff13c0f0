"""A crash in any statement of a migration is harmless: it leaves nothing of it, and the next start ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count

import psycopg
import pytest

from memsys_api.store import migrate
from memsys_api.store.database import DatabaseUnavailable
from tests.integration.support.postgres import Server, create_database, server

# Breaks off the connection of whoever carries out the n-th command that changes the schema, in its middle. A sequence
# counts on although the transaction is undone.
_TRAP = """
CREATE SCHEMA crash;
CREATE SEQUENCE crash.commands;
CREATE FUNCTION crash.spring() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF nextval('crash.commands') = {at} THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
    END IF;
END
$$;
CREATE EVENT TRIGGER crash ON ddl_command_end EXECUTE FUNCTION crash.spring();
"""
_SHAPE = """
SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || coalesce(column_default, '')
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT tablename || ' ' || policyname || coalesce(qual, '') FROM pg_policies WHERE schemaname = 'public'
UNION ALL SELECT p.oid::regprocedure || ' ' || p.prosrc FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT table_name || ' ' || privilege_type FROM information_schema.role_table_grants
          WHERE grantee = 'memsys_app' AND table_schema = 'public'
UNION ALL SELECT tgrelid::regclass || ' ' || tgname FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT number || ' ' || name || ' ' || checksum FROM schema_migrations
"""
EVERY = 12
_numbers = count(1)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with server() as running:
        yield running


def _database(postgres: Server, at: int) -> str:
    """A fresh database whose n-th command will fail."""
    name = f"crash_{next(_numbers)}"
    create_database(postgres, name)
    postgres.execute(_TRAP.format(at=at), name)
    return name


def _ask(postgres: Server, database: str, question: str) -> list[str]:
    with psycopg.connect(postgres.url("postgres", database)) as conn:
        return sorted(row[0] for row in conn.execute(question).fetchall())


async def test_a_crash_in_any_statement_is_mended_by_the_next_start(postgres: Server) -> None:
    whole = _database(postgres, 0)
    await migrate.migrate(postgres.url("memsys_owner", whole), "memsys_app")
    expected = _ask(postgres, whole, _SHAPE)
    [commands] = _ask(postgres, whole, "SELECT last_value::int FROM crash.commands")
    assert commands > 50
    points = sorted({*range(1, commands + 1, EVERY), commands})
    for at in points:
        database = _database(postgres, at)
        owner = postgres.url("memsys_owner", database)
        with pytest.raises(DatabaseUnavailable):
            await migrate.migrate(owner, "memsys_app")
        # Two start at once, as replicas do after the crash of both.
        await asyncio.gather(*(migrate.migrate(owner, "memsys_app") for _ in range(2)))
        assert _ask(postgres, database, _SHAPE) == expected, f"after a crash in command {at} of {commands}"
        postgres.execute(f"DROP DATABASE {database} WITH (FORCE)")
    print(f"\n  a migration crashed at {len(points)} of {commands} commands")
