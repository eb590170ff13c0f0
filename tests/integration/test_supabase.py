"""PostgreSQL laid out as Supabase lays it out: one role that is no superuser, extensions in a schema of their own.

The role ``postgres`` owns the database and is no superuser
(https://supabase.com/docs/guides/database/postgres/roles); extensions are installed beforehand in the schema
``extensions``, which is in the role's search_path (https://supabase.com/docs/guides/database/extensions). So nothing
can be marked leakproof, and the one role both serves and migrates.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import psycopg
import pytest

from memsys_api import app
from memsys_api.assembling import Makers
from memsys_api.settings import Settings

from .conftest import ADMIN_KEY
from .support.parts import WordEmbedder
from .support.postgres import Server
from .support.waiting import until

ROLE = "supabase_postgres"  # what Supabase calls postgres; here that is the test server's own superuser
NAME = "supabase"


@pytest.fixture(params=["NOBYPASSRLS", "BYPASSRLS"])
def supabase(postgres: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    """Its connection string."""
    postgres.execute(f"CREATE ROLE {ROLE} LOGIN NOSUPERUSER CREATEDB CREATEROLE {request.param} PASSWORD 'secret'")
    postgres.execute(f"CREATE DATABASE {NAME} OWNER {ROLE}")
    postgres.execute("CREATE SCHEMA extensions", NAME)
    postgres.execute("CREATE EXTENSION vector SCHEMA extensions", NAME)
    postgres.execute(f"GRANT USAGE ON SCHEMA extensions TO {ROLE}", NAME)
    postgres.execute(f'ALTER ROLE {ROLE} SET search_path TO "$user", public, extensions')
    yield postgres.url(ROLE, NAME)
    postgres.execute(f"DROP DATABASE {NAME} WITH (FORCE)")
    postgres.execute(f"DROP ROLE {ROLE}")


@asynccontextmanager
async def serving(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async def make_embedder(_: Settings) -> WordEmbedder:
        return WordEmbedder()

    settings = Settings.model_validate({"SUPABASE_URL": url, "MEMSYS_ADMIN_KEY": ADMIN_KEY})
    application = app.create(settings, Makers(embedder=make_embedder, graph=lambda _: None))
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(application, raise_app_exceptions=False),
            base_url="http://memsys",
            headers={"Authorization": f"Bearer {ADMIN_KEY}"},
        ) as client,
    ):
        runtime = application.state.runtime
        await until("the API is ready", lambda: runtime.service is not None, 30)
        yield client


async def found(client: httpx.AsyncClient, project: str, **question: object) -> list[str]:
    asked = {"query": "what does the cat like", "user_id": "u", **question}
    answer = await client.post("/search", json=asked, headers={"X-Memsys-Project": project})
    assert answer.status_code == 200, answer.text
    return [hit["memory"] for hit in answer.json()["results"]]


async def test_everything_is_laid_out_and_found_and_projects_stay_apart(supabase: str) -> None:
    async with serving(supabase) as client:
        for project, text in (("one", "the cat likes fish"), ("two", "the cat likes milk")):
            said = {"messages": text, "user_id": "u", "infer": False, "metadata": {"kind": project}}
            answer = await client.post("/memories", json=said, headers={"X-Memsys-Project": project})
            assert answer.status_code == 200, answer.text
        for project, text in (("one", "the cat likes fish"), ("two", "the cat likes milk")):
            assert await found(client, project) == [text]
            assert await found(client, project, filters={"metadata": {"kind": project}}) == [text]
            assert await found(client, project, filters={"metadata": {"kind": "other"}}) == []
    async with serving(supabase) as client:  # a second start finds it all as it was
        assert await found(client, "one") == ["the cat likes fish"]


async def test_the_wall_holds_the_owner_too_and_nothing_is_leakproof(supabase: str) -> None:
    async with serving(supabase) as client:
        said = {"messages": "the cat likes fish", "user_id": "u", "infer": False}
        assert (await client.post("/memories", json=said)).status_code == 200
    with psycopg.connect(supabase) as conn:
        walled = conn.execute(
            "SELECT relname, relforcerowsecurity FROM pg_class"
            " WHERE relrowsecurity AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        assert {"memory_versions"} <= {name for name, _ in walled}
        assert [name for name, forced in walled if not forced] == []
        leakproof = "SELECT count(*) FROM pg_proc WHERE proname IN ('ts_match_vq', 'jsonb_contains') AND proleakproof"
        assert conn.execute(leakproof).fetchone() == (0,)
        bypass = conn.execute("SELECT rolbypassrls FROM pg_roles WHERE rolname = current_user").fetchone()
        seen = conn.execute("SELECT count(*) FROM memory_versions").fetchone()
        # Without a project nothing is seen; a role that bypasses the wall leaves the scope in every statement.
        assert seen == ((1,) if bypass == (True,) else (0,))
