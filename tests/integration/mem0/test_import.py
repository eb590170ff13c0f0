"""Memories of mem0 and of the MCP reference server, as these programs wrote them, brought over by the command."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from mem0 import Memory
from mem0.utils.factory import EmbedderFactory
from psycopg.conninfo import conninfo_to_dict

from memsys.importing.__main__ import main

from ..conftest import Dsn


class _Embedder:
    """The same few numbers for the same text."""

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        return [float(len(text)), float(sum(text.encode()) % 97), 1.0]

    def embed_batch(self, texts: list[str], memory_action: str | None = None) -> list[list[float]]:
        return [self.embed(text) for text in texts]


@pytest.fixture
def mem0(dsn: Dsn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Memory:
    """mem0 in process on the tests' own PostgreSQL, in a database of its own schema."""
    monkeypatch.setattr(EmbedderFactory, "create", classmethod(lambda *_, **__: _Embedder()))
    where = conninfo_to_dict(dsn.superuser)
    store = {
        "dbname": where["dbname"], "user": where["user"], "password": where["password"], "host": where["host"],
        "port": int(where["port"] or 0), "collection_name": "mem0", "embedding_model_dims": 3, "hnsw": False,
    }  # fmt: skip
    return Memory.from_config(
        {
            "vector_store": {"provider": "pgvector", "config": store},
            "llm": {"provider": "openai", "config": {"api_key": "none", "openai_base_url": "http://127.0.0.1:9"}},
            "history_db_path": str(tmp_path / "history.db"),
        }
    )


def _run(host: str, key: str, *arguments: str) -> int:
    return main([*arguments, "--url", host, "--key", key])


def _held(host: str, key: str, **query: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{host}/memories", params=query, headers={"X-API-Key": key})
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def test_a_table_of_mem0_is_brought_over_once(
    mem0: Memory, dsn: Dsn, host: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = mem0.add("Alice drinks tea", user_id="alice", metadata={"cups": 3}, infer=False)["results"][0]
    mem0.add("Bob repairs bikes", user_id="bob", run_id="r", infer=False)
    command = ("mem0-pgvector", dsn.superuser, "--table", "mem0")
    assert _run(host, key, *command, "--dry-run") == 0
    assert "would send 2 versions" in capsys.readouterr().out
    assert _held(host, key) == []
    assert _run(host, key, *command) == 0
    assert "imported 2, unchanged 0, erased there 0, held for review 0, failed 0" in capsys.readouterr().out
    [alice] = _held(host, key, user_id="alice")
    assert (alice["id"], alice["memory"], alice["metadata"]["cups"]) == (first["id"], "Alice drinks tea", 3)
    source = mem0.get(first["id"])
    assert source
    assert alice["created_at"][:19] == source["created_at"][:19]
    [bob] = _held(host, key, user_id="bob", run_id="r")
    assert bob["memory"] == "Bob repairs bikes"
    assert _run(host, key, *command) == 0
    assert "imported 0, unchanged 2, erased there 0, held for review 0, failed 0" in capsys.readouterr().out


def test_mem0s_history_is_brought_over_with_its_past(
    mem0: Memory, tmp_path: Path, host: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one = mem0.add("tea at five", user_id="u", infer=False)["results"][0]["id"]
    mem0.update(one, "tea at six")
    other = mem0.add("a secret", user_id="u", infer=False)["results"][0]["id"]
    mem0.delete(other)
    for report in ("imported 4, unchanged 0", "imported 0, unchanged 4"):
        assert _run(host, key, "mem0-history", str(tmp_path / "history.db"), "--user-id", "u") == 0
        assert report in capsys.readouterr().out
    assert [(m["id"], m["memory"], m["version"]) for m in _held(host, key, user_id="u")] == [(one, "tea at six", 2)]
    past = httpx.get(f"{host}/memories/{other}/history", headers={"X-API-Key": key}).json()
    assert [(e["event"], e["new_memory"]) for e in past] == [("ADD", "a secret"), ("DELETE", None)]


def test_what_is_to_be_forgotten_in_mem0_is_forgotten_here(mem0: Memory, dsn: Dsn, host: str, key: str) -> None:
    day = datetime.now(UTC).date() + timedelta(days=3)
    mem0.add("the door code is 1234", user_id="u", expiration_date=day.isoformat(), infer=False)
    mem0.add("likes tea", user_id="u", infer=False)
    assert _run(host, key, "mem0-pgvector", dsn.superuser, "--table", "mem0") == 0
    assert {m["memory"]: m["expires_at"] for m in _held(host, key)} == {
        "the door code is 1234": f"{day + timedelta(days=1)}T00:00:00+00:00",
        "likes tea": None,
    }


@pytest.mark.parametrize("event", ["DELETE", "delete"])
def test_what_an_older_mem0_has_deleted_stays_deleted(
    event: str, tmp_path: Path, host: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Up to 1.x mem0 wrote a deletion down without a time."""
    one = "6f7c9c54-7a30-4a35-9f8c-0f2f3a4b5c6d"
    changes = [
        ("1", one, None, "a secret", "ADD", "2025-03-09T01:30:00-08:00", None, 0),
        ("2", one, "a secret", "a secret still", "UPDATE", "2025-03-09T01:30:00-08:00", "2025-03-09T09:45:00+00:00", 0),
        ("3", one, "a secret still", None, event, None, None, 1),
    ]
    path = tmp_path / "history.db"
    with sqlite3.connect(path) as conn:
        conn.execute(
            """CREATE TABLE history (id TEXT PRIMARY KEY, memory_id TEXT, old_memory TEXT, new_memory TEXT, event TEXT,
               created_at DATETIME, updated_at DATETIME, is_deleted INTEGER, actor_id TEXT, role TEXT)"""
        )
        conn.executemany("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)", changes)
    conn.close()
    for report in ("imported 3, unchanged 0", "imported 0, unchanged 3"):
        assert _run(host, key, "mem0-history", str(path), "--user-id", "u") == 0
        assert report in capsys.readouterr().out
    assert _held(host, key) == []
    past = httpx.get(f"{host}/memories/{one}/history", headers={"X-API-Key": key}).json()
    assert [entry["event"] for entry in past] == ["ADD", "UPDATE", "DELETE"]


def test_a_running_server_is_read_page_by_page(host: str, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    """This service has that server's routes; a second project stands for the new home."""
    for n in range(120):
        httpx.post(f"{host}/memories", json={"text": f"fact {n}", "user_id": "u"}, headers={"X-API-Key": key})
    command = ("mem0-server", host, "--source-key", key, "--user-id", "u", "--project", "new")
    for report in ("imported 120, unchanged 0, erased", "imported 0, unchanged 120, erased"):
        assert _run(host, key, *command) == 0
        assert report in capsys.readouterr().out
    there = httpx.get(f"{host}/memories", params={"limit": 1}, headers={"X-API-Key": key, "X-Memsys-Project": "new"})
    assert there.json()["results"][0]["user_id"] == "u"


def test_a_knowledge_graph_becomes_memories(
    tmp_path: Path, host: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        {"type": "entity", "name": "Priya", "entityType": "person", "observations": ["lives in Lisbon", "Priya runs"]},
        {"type": "entity", "name": "Acme", "entityType": "company", "observations": []},
        {"type": "relation", "from": "Priya", "to": "Acme", "relationType": "works_at"},
        {"type": "other"},
    ]
    path = tmp_path / "memory.json"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    for report in ("imported 4, unchanged 0", "imported 0, unchanged 4"):
        assert _run(host, key, "server-memory", str(path), "--app-id", "notes") == 1  # one line was left out
        said = capsys.readouterr().out
        assert report in said
        assert "left out 'line 4': is neither an entity nor a relation" in said
    assert {m["memory"] for m in _held(host, key, app_id="notes")} == {
        "Priya: lives in Lisbon", "Priya runs", "Acme is a company", "Priya works at Acme",
    }  # fmt: skip


def test_an_observation_says_of_whom_it_is(
    tmp_path: Path, host: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ["bakes banana bread", "likes ANA's tea", "Ana", " ", "x" * 32_001]
    lines = [
        {"type": "entity", "name": "Ana", "entityType": "person", "observations": said},
        {"type": "entity", "name": "Bo", "entityType": "person", "observations": [""]},
        {"type": "entity", "name": "", "entityType": "", "observations": ["of nobody"]},
        {"type": "entity", "name": "田中", "entityType": "person", "observations": ["田中は犬が好き"]},
    ]
    path = tmp_path / "memory.json"
    path.write_text("\ufeff" + "\n".join(json.dumps(line) for line in lines))
    assert _run(host, key, "server-memory", str(path), "--app-id", "notes") == 1
    printed = capsys.readouterr().out
    assert "imported 6, unchanged 0" in printed
    assert "is longer than 32000 characters" in printed
    assert len(printed) < 500
    assert {m["memory"] for m in _held(host, key, app_id="notes")} == {
        "Ana: bakes banana bread", "likes ANA's tea", "Ana", "Bo is a person", "of nobody", "田中は犬が好き",
    }  # fmt: skip


def test_what_cannot_be_read_is_said_and_nothing_is_sent(
    tmp_path: Path, host: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for source in ("server-memory", "mem0-history"):
        assert _run(host, key, source, str(tmp_path / "nothing")) == 2
    assert _run(host, "wrong", "server-memory", str(tmp_path / "nothing")) == 2
    assert "the source server-memory cannot be read: FileNotFoundError" in capsys.readouterr().err


@pytest.mark.parametrize(("source", "address"), [
    ("mem0-pgvector", "postgresql://u:secretpw@127.0.0.1:1/x"),
    ("mem0-pgvector", "nonsense"),
    ("mem0-server", "http://u:secretpw@127.0.0.1:1"),
    ("mem0-server", "http://[bad"),
    ("mem0-server", "localhost:1"),
])  # fmt: skip
def test_a_source_that_fails_is_named_and_not_this_service(
    host: str, key: str, capsys: pytest.CaptureFixture[str], source: str, address: str
) -> None:
    for more in ((), ("--dry-run",)):
        assert _run(host, key, source, address, "--user-id", "u", *more) == 2
        said = capsys.readouterr().err
        assert f"the source {source} cannot be read" in said
        assert "secretpw" not in said
        assert host not in said


def test_this_service_is_named_where_it_does_not_answer(
    tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "memory.json"
    path.write_text('{"type": "entity", "name": "Priya", "entityType": "person"}')
    assert _run("http://127.0.0.1:1", key, "server-memory", str(path), "--user-id", "u") == 2
    said = capsys.readouterr().err
    assert "http://127.0.0.1:1" in said
    assert "run it again" in said


def test_half_an_emoji_keeps_nothing_else_from_being_brought_over(
    tmp_path: Path, host: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ["likes tea", "cut short \ud83d", "whole \ud83d\ude00"]
    lines = [
        {"type": "entity", "name": "Priya", "entityType": "person", "observations": said},
        {"type": "entity", "name": "\udc00", "entityType": "\ud83d", "observations": []},
    ]
    path = tmp_path / "memory.json"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    for report in ("imported 4, unchanged 0", "imported 0, unchanged 4"):
        assert _run(host, key, "server-memory", str(path), "--user-id", "u\ud83d") == 0
        assert report in capsys.readouterr().out
    held = _held(host, key, user_id="u\ufffd")
    assert {m["memory"] for m in held} == {
        "Priya: likes tea", "Priya: cut short \ufffd", "Priya: whole 😀", "\ufffd is a \ufffd",
    }  # fmt: skip
