"""Names that are taken by objects of somebody else's: who is served nevertheless, and what is said of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio import client

from memsys_operator.cluster import Cluster
from memsys_operator.errors import Rejected
from memsys_operator.observed import Key, Observed
from memsys_operator.plan import Apply
from memsys_operator.sync import SyncReport

from .memory import REF, Memory, reconciler, settle
from .support import memory_system

EXPOSED: dict[str, Any] = {"mcp": {"host": "m.test"}}
ASIDE: list[tuple[Key, dict[str, Any]]] = [
    (("Ingress", "m-mcp"), {"expose": EXPOSED}),
    (("PodDisruptionBudget", "m-api"), {"api": {"replicas": 2}}),
]
SERVING: list[tuple[Key, str]] = [
    (("Service", "m-api"), "APIReady"),
    (("Service", "m-mcp"), "MCPReady"),
    (("Service", "m-postgres-rw"), "PostgresReady"),
    (("Service", "m-neo4j"), "GraphReady"),
    (("StatefulSet", "m-postgres"), "PostgresReady"),
    (("StatefulSet", "m-neo4j"), "GraphReady"),
]


async def running(spec: dict[str, Any] | None = None) -> Memory:
    """A system that serves, and then gets another spec."""
    cluster = Memory(memory_system())
    await settle(cluster)
    assert cluster.obj is not None
    cluster.obj["spec"] = spec or {}
    return cluster


async def look(cluster: Memory) -> None:
    for _ in range(3):
        await reconciler(cluster).run(REF, SyncReport(available=True))
        cluster.serve()


def said(cluster: Memory, kind: str) -> tuple[str, str]:
    found = cluster.condition(kind)
    return found["status"], found["reason"]


@pytest.mark.parametrize(("key", "spec"), ASIDE)
async def test_what_serves_is_ready_whoever_has_the_name_of_an_object_beside_it(key: Key, spec: dict[str, Any]) -> None:
    cluster = await running(spec)
    cluster.taken = key
    await look(cluster)
    assert said(cluster, "Ready")[0] == "True"
    assert said(cluster, "Stalled") == ("True", "NameTaken")
    assert f"{key[0]} {key[1]}" in cluster.condition("Stalled")["message"]
    assert said(cluster, "Reconciling") == ("False", "Stalled")
    assert ("Warning", "NameTaken") in cluster.events
    cluster.taken = None
    await settle(cluster)
    assert said(cluster, "Stalled") == ("False", "NotStalled")


async def test_a_way_in_whose_name_is_taken_is_not_exposed_and_says_why() -> None:
    cluster = await running({"expose": EXPOSED})
    cluster.taken = ("Ingress", "m-mcp")
    await look(cluster)
    assert said(cluster, "Exposed") == ("False", "NameTaken")
    assert "Ingress m-mcp" in cluster.condition("Exposed")["message"]


async def test_a_way_in_that_is_not_admitted_is_not_exposed_and_says_why() -> None:
    cluster = await running({"expose": EXPOSED})
    cluster.refuse = ("Ingress", "m-mcp")
    await look(cluster)
    assert said(cluster, "Exposed") == ("False", "Refused")
    assert said(cluster, "Ready") == ("True", "Available")


@pytest.mark.parametrize(("key", "kind"), SERVING)
async def test_callers_are_not_served_by_what_is_somebody_elses(key: Key, kind: str) -> None:
    """At the first start, and when the object was replaced while the system ran."""
    replaced = await running()
    replaced.seen = Observed({k: obj for k, obj in replaced.seen.objects.items() if k != key})
    for cluster in (Memory(memory_system()), replaced):
        cluster.taken = key
        await look(cluster)
        assert said(cluster, kind) == said(cluster, "Ready") == ("False", "NameTaken"), "the first that is told"
        assert f"{key[0]} {key[1]}" in cluster.condition("Ready")["message"]
        assert said(cluster, "Stalled") == ("True", "NameTaken")


async def test_the_address_of_a_service_of_somebody_elses_is_not_told() -> None:
    cluster = Memory(memory_system())
    cluster.taken = ("Service", "m-api")
    await look(cluster)
    assert cluster.obj is not None
    assert "api" not in cluster.obj["status"]["endpoints"]
    assert "mcp" in cluster.obj["status"]["endpoints"]


@pytest.mark.parametrize("key", [("Secret", "m-api"), ("NetworkPolicy", "m-api")])
async def test_what_pods_must_not_be_without_is_named_by_each_part_that_was_not_made_for_it(key: Key) -> None:
    new, serves = Memory(memory_system()), await running()
    serves.seen = Observed({k: obj for k, obj in serves.seen.objects.items() if k != key})
    for cluster in (new, serves):
        cluster.taken = key
        await look(cluster)
        assert said(cluster, "Stalled") == ("True", "NameTaken")
    for kind in ("PostgresReady", "APIReady", "MCPReady", "Ready"):
        assert said(new, kind) == ("False", "NameTaken")
    assert said(serves, "Ready") == ("True", "Available")


# -- what is said of it


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """One in which every object exists, and is somebody else's."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"metadata": {"name": request.path.rsplit("/", 1)[1]}})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    server = TestServer(app)
    await server.start_server()
    async with client.ApiClient(client.Configuration(host=str(server.make_url("")).rstrip("/"))) as api:
        yield Cluster(api)
    await server.close()


@pytest.mark.parametrize(
    ("kind", "renames"),
    [
        ("Service", True),
        ("Deployment", True),
        ("Secret", True),
        ("Ingress", False),
        ("HTTPRoute", False),
        ("PodDisruptionBudget", False),
    ],
)
async def test_the_remedy_fits_what_has_the_name(cluster: Cluster, kind: str, renames: bool) -> None:
    manifest = {"kind": kind, "metadata": {"name": "m-mcp", "namespace": "n"}}
    with pytest.raises(Rejected) as caught:
        await cluster.execute("n", Apply(manifest, ("missing",), new=True))
    assert caught.value.reason == "NameTaken"
    said = str(caught.value)
    assert f"{kind} m-mcp already exists in namespace n and does not belong to this system" in said
    assert "delete or rename" in said
    assert ("give the system another name" in said) is renames
    assert said.startswith("metadata.name: ") is renames
