"""A dump restored into another server by the commands of the page about it: nothing is missing, nothing comes back."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from memsys_api import app
from memsys_api.assembling import Makers
from memsys_api.settings import Settings

from .conftest import ADMIN_KEY
from .support.parts import MemorySink, WordEmbedder
from .support.postgres import BIN, Server, server
from .support.serving import serving
from .support.waiting import until

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/backup-and-restore.md").read_text()
ENSURE = ROOT / "images/postgres/ensure.sql"
PORTS = "http://127.0.0.1:8000"
IN_POD = re.compile(r"kubectl exec (-i )?memory-postgres-0 -- ")


def command(word: str) -> str:
    """The page's one command that has this word."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    (found,) = [line.strip() for block in blocks for line in block.splitlines() if word in line]
    return str(found)


def in_pod(place: Server, folder: Path, line: str, **environment: str) -> None:
    """Run a command as the page says, in what stands for the pod: the server's own programs on its own port."""
    assert IN_POD.match(line)
    own = {"PATH": f"{BIN}:{os.environ['PATH']}", "PGHOST": place.address, "PGPORT": str(place.port), **environment}
    _bash(IN_POD.sub("", line), folder, own)


async def ask(url: str, folder: Path, line: str) -> None:
    """Run a command that asks the API."""
    assert PORTS in line
    await asyncio.to_thread(_bash, line.replace(PORTS, url), folder, {"PATH": os.environ["PATH"], "KEY": ADMIN_KEY})


def _bash(line: str, folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-ec", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def start_anew(place: Server, folder: Path) -> None:
    """What the image does at every start; the tests' server comes without pg_trgm."""
    lines = [line for line in ENSURE.read_text().splitlines(keepends=True) if "pg_trgm" not in line]
    (folder / "ensure.sql").write_text("".join(lines))
    passwords = {f"MEMSYS_{role}_PASSWORD": "secret" for role in ("SUPERUSER", "OWNER", "APP")}
    ensure = "psql -X -q -v ON_ERROR_STOP=1 -U postgres -d postgres -f ensure.sql -o /dev/null"
    in_pod(place, folder, f"kubectl exec memory-postgres-0 -- {ensure}", **passwords)


def api(place: Server, sink: MemorySink) -> FastAPI:
    async def make_embedder(_: Settings) -> WordEmbedder:
        return WordEmbedder()

    settings = Settings.model_validate(
        {
            "DATABASE_URL": place.url("memsys_app", "memsys"),
            "DATABASE_OWNER_URL": place.url("memsys_owner", "memsys"),
            "MEMSYS_ADMIN_KEY": ADMIN_KEY,
            "GRAPH_RETRY_BASE_SECONDS": 0.02,
        }
    )
    return app.create(settings, Makers(embedder=make_embedder, graph=lambda _: sink))


def client(url: str, key: str = ADMIN_KEY, project: str = "shop") -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}", "X-Memsys-Project": project})


async def put(asking: httpx.AsyncClient, text: str, user: str) -> str:
    answer = await asking.post("/memories", json={"text": text, "user_id": user})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["results"][0]["id"])


async def found(asking: httpx.AsyncClient, query: str, user: str) -> list[str]:
    answer = await asking.post("/search", json={"query": query, "user_id": user})
    assert answer.status_code == 200, answer.text
    return [result["memory"] for result in answer.json()["results"]]


async def erased(asking: httpx.AsyncClient) -> bool:
    erasures: list[dict[str, Any]] = (await asking.get("/erasures")).json()["results"]
    return bool(erasures) and all(erasure["state"] == "done" for erasure in erasures)


@pytest.fixture
def places(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """The server that is backed up, and another."""
    with server() as source, server() as target:
        start_anew(source, tmp_path)
        start_anew(target, tmp_path)
        yield source, target


async def test_a_restored_system_has_all_but_what_was_erased_since(
    places: tuple[Server, Server], tmp_path: Path
) -> None:
    source, target = places
    async with serving(api(source, MemorySink())) as (url, _), client(url) as asking:
        tea = await put(asking, "Ann drinks green tea", "ann")
        await put(asking, "Bob drinks black coffee", "bob")
        gone = await put(asking, "Bob drinks lemonade", "bob")
        assert (await asking.delete(f"/memories/{gone}")).is_success
        made = await asking.post("/keys", json={"name": "bob's", "projects": ["shop"]})
        key: str = made.json()["key"]
        in_pod(source, tmp_path, command("pg_dump"))
        assert (await asking.post("/erasures", json={"user_id": "ann"})).is_success
        await until("Ann is erased", lambda: erased(asking))
        await ask(url, tmp_path, command("/erasures/ledger"))

    # The new system, as far as it has come by the time that its API is stopped.
    graph = MemorySink()
    async with serving(api(target, graph)) as (url, _), client(url) as asking:
        await put(asking, "Somebody tried it out", "eve")
        await until("the graph has it", lambda: len(graph.held) == 1)

    in_pod(target, tmp_path, command("pg_restore"))
    in_pod(target, tmp_path, command("vacuumdb"))
    start_anew(target, tmp_path)
    _the_walls_stand(target)

    async with serving(api(target, graph)) as (url, _), client(url, key) as asking:
        assert await found(asking, "green tea", "ann") == ["Ann drinks green tea"], "the dump still has it"
        await ask(url, tmp_path, command("/erasures/replay"))
        await ask(url, tmp_path, command("/graph/rebuild"))
        async with client(url) as admin:
            await until("Ann is erased again", lambda: erased(admin))
            assert (await admin.get(f"/memories/{tea}")).status_code == 404
        assert await found(asking, "green tea", "ann") == []
        assert await found(asking, "black coffee", "bob") == ["Bob drinks black coffee"]
        assert await found(asking, "somebody", "eve") == []

        def built() -> bool:
            return {record.memory.text for record in graph.held.values() if record.memory} == {
                "Bob drinks black coffee"
            }

        await until("the graph holds what PostgreSQL does", built)
        position = (await asking.get("/changes", params={"since": "earliest"})).json()["next"]
        new = await put(asking, "Bob has moved house", "bob")

        async def heard() -> bool:
            changes = (await asking.get("/changes", params={"since": position})).json()["results"]
            return [change["memory_id"] for change in changes] == [new]

        await until("the stream of changes goes on", heard)


def _the_walls_stand(place: Server) -> None:
    with psycopg.connect(place.url("memsys_app", "memsys")) as conn:
        assert conn.execute("SELECT count(*) FROM memory_versions").fetchone() == (0,), "no project, no row"
        owners = conn.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert owners == [("memsys_owner",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("DELETE FROM audit")
    with psycopg.connect(place.url("postgres", "memsys")) as conn:
        marked = conn.execute(
            "SELECT bool_and(proleakproof) FROM pg_proc WHERE proname IN ('ts_match_vq', 'jsonb_contains')"
        )
        assert marked.fetchone() == (True,)
        assert conn.execute("SELECT count(*) FROM pg_stats WHERE tablename = 'memory_versions'").fetchone() != (0,)
        grants = conn.execute("SELECT has_database_privilege('memsys_app', 'memsys', 'CONNECT'), datacl::text "
                              "FROM pg_database WHERE datname = 'memsys'").fetchone()  # fmt: skip
        assert grants is not None
        assert grants[0]
        assert "{=" not in grants[1], "nothing for everybody"
        assert ",=" not in grants[1]
