"""The judge is judged: everything that may go wrong with what was acknowledged is seen, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.integration.support.postgres import create_database, server

from .support.comparison import lost_or_doubled
from .support.ledger import Ledger

KEPT, CHANGED, GONE = (f"00000000-0000-4000-8000-00000000000{n}" for n in range(3))
_HISTORY = [
    (KEPT, 1, "active", "kept", True),
    (CHANGED, 1, "active", "before", False),
    (CHANGED, 2, "active", "after", True),
    (GONE, 1, "active", "gone", False),
    (GONE, 2, "deleted", "", True),
]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The columns that the judge reads, without the product's constraints: they would not let anything go wrong."""
    with server() as running:
        create_database(running, "judged")
        running.execute(
            "CREATE TABLE memory_versions (id uuid, version int, state text, text text, recorded_to timestamptz)",
            "judged",
        )
        yield running.url("postgres", "judged")


@pytest.fixture
def stored(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("TRUNCATE memory_versions")
        for memory_id, version, state, text, newest in _HISTORY:
            ended = None if newest else "now"
            conn.execute(
                "INSERT INTO memory_versions VALUES (%s, %s, %s, %s, %s)", (memory_id, version, state, text, ended)
            )
        yield conn


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger")
    texts = {KEPT: "kept", CHANGED: "before", GONE: "gone"}
    made.added("k", "u", [{"id": memory_id, "memory": text} for memory_id, text in texts.items()])
    made.updated(made.records[CHANGED], 2, "after")
    made.deleted(made.records[GONE])
    yield made
    made.close()


def test_what_is_as_acknowledged_is_right(stored: psycopg.Connection, database: str, ledger: Ledger) -> None:
    assert lost_or_doubled(database, ledger) == []


@pytest.mark.parametrize(
    ("mishap", "said"),
    [
        (f"DELETE FROM memory_versions WHERE id = '{KEPT}'", "is missing"),
        ("UPDATE memory_versions SET text = 'other' WHERE text = 'kept'", "acknowledged 'kept'"),
        ("INSERT INTO memory_versions VALUES (gen_random_uuid(), 1, 'active', 'kept', NULL)", "stored 2 times"),
        ("INSERT INTO memory_versions VALUES (gen_random_uuid(), 1, 'active', 'invented', NULL)", "nobody wrote"),
        (f"INSERT INTO memory_versions VALUES ('{KEPT}', 2, 'active', 'kept', NULL)", "has 2 heads"),
        (f"DELETE FROM memory_versions WHERE id = '{GONE}' AND version = 2", "is missing"),
        (
            f"UPDATE memory_versions SET state = 'active' WHERE id = '{GONE}'",
            "expected Head(version=2, text='', deleted",
        ),
        (f"UPDATE memory_versions SET version = 3 WHERE id = '{CHANGED}' AND version = 2", "its history has None"),
    ],
)
def test_every_mishap_is_seen(
    stored: psycopg.Connection, database: str, ledger: Ledger, mishap: str, said: str
) -> None:
    stored.execute(mishap)
    assert any(said in finding for finding in lost_or_doubled(database, ledger)), lost_or_doubled(database, ledger)


def test_what_was_given_up_is_stored_once_and_whole_or_not_at_all(
    stored: psycopg.Connection, database: str, ledger: Ledger
) -> None:
    ledger.add_given_up("g", ["one", "two"])
    assert lost_or_doubled(database, ledger) == []
    insert = "INSERT INTO memory_versions VALUES (gen_random_uuid(), 1, 'active', %s, NULL)"
    stored.execute(insert, ["one"])
    assert ["stored in part" in finding for finding in lost_or_doubled(database, ledger)] == [True]
    stored.execute(insert, ["two"])
    assert lost_or_doubled(database, ledger) == []
    stored.execute(insert, ["two"])
    assert any("stored 2 times" in finding for finding in lost_or_doubled(database, ledger))


def test_an_update_given_up_may_have_been_carried_out(
    stored: psycopg.Connection, database: str, ledger: Ledger
) -> None:
    ledger.update_given_up(ledger.records[KEPT], "newer")
    assert lost_or_doubled(database, ledger) == []
    stored.execute("UPDATE memory_versions SET recorded_to = now() WHERE text = 'kept'")
    stored.execute(f"INSERT INTO memory_versions VALUES ('{KEPT}', 2, 'active', 'newer', NULL)")
    assert lost_or_doubled(database, ledger) == []
    stored.execute("UPDATE memory_versions SET text = 'else' WHERE text = 'newer'")
    assert lost_or_doubled(database, ledger) != []
