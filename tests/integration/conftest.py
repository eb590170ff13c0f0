"""A real PostgreSQL for all tests here, a database of its own for each, and the API on top of it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import pytest
import uvicorn

from memsys_api import app
from memsys_api.assembling import Makers, Service
from memsys_api.server import Server as ApiServer
from memsys_api.settings import Settings
from memsys_api.sinks.webhooks.names import Names
from memsys_api.sinks.webhooks.sender import Resolver
from memsys_api.store import generations, migrate

from .support.parts import MemorySink, WordEmbedder
from .support.postgres import Server, create_database, free_port
from .support.postgres import server as postgres_server
from .support.receiver import Receiver, receiving
from .support.serving import serving
from .support.waiting import until

ADMIN_KEY = "an-admin-key-for-tests"
_numbers = count(1)


SHARING_A_SERVER = ("graph", "ingress", "mcp")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers, the tests that share a server which is slow to start stay together in one of them."""
    for item in items:
        if item.path.parent.name in SHARING_A_SERVER:
            item.add_marker(pytest.mark.xdist_group(item.path.parent.name))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The one server of the session."""
    with postgres_server() as running:
        yield running


@dataclass(frozen=True)
class Dsn:
    """Where one test's database is."""

    owner: str
    app: str
    name: str
    server: Server

    @property
    def superuser(self) -> str:
        return self.server.url("postgres", self.name)


@pytest.fixture(scope="session")
def template(postgres: Server) -> str:
    """A database that the API has laid out already, to copy: faster than laying out each test's."""
    name = "memsys_template"
    create_database(postgres, name)
    owner = postgres.url("memsys_owner", name)

    async def lay_out() -> None:
        await migrate.migrate(owner, "memsys_app")
        words = WordEmbedder()
        await generations.ensure_active(
            owner,
            "memsys_app",
            provider=words.provider,
            model=words.model,
            dimensions=words.dimensions,
            precision="halfvec",
        )

    asyncio.run(lay_out())
    return name


def _database(postgres: Server, template: str | None) -> Iterator[Dsn]:
    name = f"memsys_{next(_numbers)}"
    if template:
        postgres.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER memsys_owner")
    else:
        create_database(postgres, name)
    yield Dsn(postgres.url("memsys_owner", name), postgres.url("memsys_app", name), name, postgres)
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def dsn(postgres: Server, template: str) -> Iterator[Dsn]:
    """A database of the test's own, laid out and empty."""
    yield from _database(postgres, template)


@pytest.fixture
def bare_dsn(postgres: Server) -> Iterator[Dsn]:
    """A database as the product's image would make it, before the API has ever seen it."""
    yield from _database(postgres, None)


@dataclass
class Replica:
    """One running API with its parts in reach of the test."""

    client: httpx.AsyncClient
    service: Service
    embedder: WordEmbedder
    sink: MemorySink | None

    async def add(self, text: str | list[dict[str, Any]], **fields: Any) -> list[dict[str, Any]]:
        """Remember, and return the results."""
        answer = await self.client.post("/memories", json={"messages": text, **fields})
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    async def search(self, query: str, **fields: Any) -> list[dict[str, Any]]:
        """Search, and return the results."""
        answer = await self.client.post("/search", json={"query": query, **fields})
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    def as_key(self, key: str, **headers: str) -> httpx.AsyncClient:
        """A client of the same replica with another key."""
        return httpx.AsyncClient(
            transport=self.client._transport,
            base_url="http://memsys",
            headers={"Authorization": f"Bearer {key}", **headers},
        )


@dataclass
class Fleet:
    """Starts replicas of the API on one database."""

    dsn: Dsn
    settings: dict[str, Any] = field(default_factory=dict)

    @asynccontextmanager
    async def replica(
        self,
        sink: MemorySink | None = None,
        embedder: WordEmbedder | None = None,
        resolver: Resolver | None = None,
        **settings: Any,
    ) -> AsyncIterator[Replica]:
        """A replica that is ready."""
        embedder = embedder or WordEmbedder()

        async def make_embedder(_: Settings) -> WordEmbedder:
            return embedder

        values = {
            "DATABASE_URL": self.dsn.app,
            "DATABASE_OWNER_URL": self.dsn.owner,
            "MEMSYS_ADMIN_KEY": ADMIN_KEY,
            "GRAPH_RETRY_BASE_SECONDS": 0.02,
            **settings,
        }
        makers = Makers(embedder=make_embedder, graph=lambda _: sink, resolver=resolver or Names())
        application = app.create(Settings(**values), makers)
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        async with (
            application.router.lifespan_context(application),
            httpx.AsyncClient(
                transport=transport, base_url="http://memsys", headers={"Authorization": f"Bearer {ADMIN_KEY}"}
            ) as client,
        ):
            runtime = application.state.runtime
            await until("the API is ready", lambda: runtime.service is not None, 30)
            yield Replica(client, runtime.service, embedder, sink)


@pytest.fixture
def fleet(dsn: Dsn) -> Fleet:
    """For tests that need several replicas, or special ones."""
    return Fleet(dsn)


@pytest.fixture
async def api(fleet: Fleet) -> AsyncIterator[Replica]:
    """One replica without a graph."""
    async with fleet.replica() as replica:
        yield replica


@pytest.fixture
async def graphed(fleet: Fleet) -> AsyncIterator[Replica]:
    """One replica with a graph in a dictionary."""
    async with fleet.replica(sink=MemorySink()) as replica:
        yield replica


MakeKey = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def keyed(api: Replica) -> MakeKey:
    """Makes a key and yields a client that uses it."""

    @asynccontextmanager
    async def make(headers: dict[str, str] | None = None, **grant: Any) -> AsyncIterator[httpx.AsyncClient]:
        answer = await api.client.post("/keys", json={"name": "test", "projects": ["default"], **grant})
        assert answer.status_code == 201, answer.text
        async with api.as_key(answer.json()["key"], **(headers or {})) as client:
            yield client

    return make


@pytest.fixture
def host(dsn: Dsn) -> Iterator[str]:
    """Where a ready API listens."""
    with listening(dsn) as address:
        yield address


@contextmanager
def listening(dsn: Dsn, **more: Any) -> Iterator[str]:
    """A ready API with these settings, in a thread: some of mem0's calls block. Where it listens."""

    async def make_embedder(_: Settings) -> WordEmbedder:
        return WordEmbedder()

    settings = Settings.model_validate(
        {"DATABASE_URL": dsn.app, "DATABASE_OWNER_URL": dsn.owner, "MEMSYS_ADMIN_KEY": ADMIN_KEY, **more}
    )
    application = app.create(settings, Makers(embedder=make_embedder, graph=lambda _: None))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(application, host="127.0.0.1", port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    address = f"http://127.0.0.1:{port}"
    try:
        until_ready(address)
        yield address
    finally:
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive(), "the server did not stop"


Serve = Callable[..., AbstractAsyncContextManager[tuple[httpx.AsyncClient, ApiServer, Service]]]


@pytest.fixture
def served(dsn: Dsn) -> Serve:
    """Starts an API on a port of its own with these settings, and yields a client of it, the server and its parts."""

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[tuple[httpx.AsyncClient, ApiServer, Service]]:
        async def make_embedder(_: Settings) -> WordEmbedder:
            return WordEmbedder()

        values = {"DATABASE_URL": dsn.app, "DATABASE_OWNER_URL": dsn.owner, "MEMSYS_ADMIN_KEY": ADMIN_KEY, **settings}
        application = app.create(Settings(**values), Makers(embedder=make_embedder, graph=lambda _: None))
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        async with serving(application) as (url, server), httpx.AsyncClient(base_url=url, headers=headers) as client:
            yield client, server, application.state.runtime.service

    return start


def until_ready(address: str) -> None:
    """Wait for an API that listens there."""
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = httpx.get(f"{address}/readyz")
            if answer.status_code == 200:
                return
            missing = answer.text
        except httpx.TransportError as error:  # not there yet, or too busy starting to answer
            missing = repr(error)
        assert time.monotonic() < deadline, f"the API is not ready: {missing}"
        time.sleep(0.05)


@pytest.fixture
def key() -> str:
    """A key that may do anything."""
    return ADMIN_KEY


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running
