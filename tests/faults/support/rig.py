"""The whole of it, without Kubernetes: PostgreSQL, Neo4j and replicas of the API, each a node of one network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.integration.support import postgres
from tests.support.neo4j_server import Neo4jServer, jars

from .disk import Disk, disk
from .kubelet import Kubelet
from .network import Network, Node, network
from .replica import Replica

ADMIN_KEY = "an-admin-key-for-the-fault-tests"
DISK_MEGABYTES = {"postgres": 768, "neo4j": 1024}  # Neo4j takes half of it at once, for what it will log
DATABASE = "memsys"
READY_SECONDS = 60
# Nothing that would make it quicker than it is where it matters: a killed server loses what was not written.
_POSTGRES = {"max_connections": "100", "shared_buffers": "64MB", "min_wal_size": "32MB", "max_wal_size": "64MB"}


@dataclass(frozen=True)
class Rig:
    """Everything that can be made to fail, by name."""

    network: Network
    disks: dict[str, Disk]
    postgres: postgres.Server
    neo4j: Neo4jServer | None
    replicas: list[Replica]
    nodes: dict[str, Node]
    kubelets: dict[str, Kubelet]

    @property
    def superuser(self) -> str:
        """Where the comparison reads PostgreSQL, past the API."""
        return self.postgres.url("postgres", DATABASE)

    def client(self, replica: Replica, timeout: float = 10) -> httpx.AsyncClient:
        """A client of one replica that may do everything."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        return httpx.AsyncClient(base_url=replica.url, headers=headers, timeout=timeout, limits=limits)

    async def ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until every replica says that it is ready; fail with what each one waits for."""
        for replica in self.replicas:
            async with self.client(replica, timeout=5) as client:
                said = "nothing"
                try:
                    async with asyncio.timeout(seconds):
                        while said != "ready":
                            try:
                                answer = await client.get("/readyz")
                                said = "ready" if answer.is_success else answer.text
                            except httpx.TransportError as error:
                                said = repr(error)
                            await asyncio.sleep(0.1)
                except TimeoutError:
                    raise AssertionError(f"{replica.name} was not ready within {seconds:g} s: {said}") from None


@asynccontextmanager
async def rig(
    model: Path, logs: Path, *, replicas: int = 2, with_graph: bool = True, **settings: str
) -> AsyncIterator[Rig]:
    """Start all of it, or all but Neo4j; end and remove all of it afterwards."""
    async with AsyncExitStack() as stack:
        net = stack.enter_context(network())
        nodes = {name: net.node() for name in ("postgres", "neo4j", *(f"api-{n}" for n in range(replicas)))}
        of = ["postgres", "neo4j"] if with_graph else ["postgres"]
        disks = {name: stack.enter_context(disk(DISK_MEGABYTES[name])) for name in of}
        at = nodes["postgres"]
        database = stack.enter_context(
            postgres.server(disks["postgres"].folder, address=at.address, enter=at.enter, settings=_POSTGRES)
        )
        postgres.create_database(database, DATABASE)
        graph = None
        if with_graph:  # not started yet
            at = nodes["neo4j"]
            graph = Neo4jServer(disks["neo4j"].folder, jars(), address=at.address, enter=at.enter)
        common = {
            "DATABASE_URL": database.url("memsys_app", DATABASE),
            "DATABASE_OWNER_URL": database.url("memsys_owner", DATABASE),
            "MEMSYS_ADMIN_KEY": ADMIN_KEY,
            "MEMSYS_MODEL_DIR": str(model),
            **({"GRAPH_STORE": "neo4j", "NEO4J_URI": graph.uri, "NEO4J_PASSWORD": graph.password} if graph else {}),
            **settings,
        }
        apis = [Replica(name, node, common, logs / f"{name}.log") for name, node in nodes.items() if "api" in name]
        servers = {"postgres": database, **({"neo4j": graph} if graph else {}), **{api.name: api for api in apis}}
        kubelets = {name: Kubelet(name, server) for name, server in servers.items()}
        for kubelet in kubelets.values():
            await stack.enter_async_context(kubelet.looking())
        made = Rig(net, disks, database, graph, apis, nodes, kubelets)
        for kubelet in kubelets.values():
            await asyncio.wait_for(kubelet.answering.wait(), 120)
        await made.ready()
        yield made
