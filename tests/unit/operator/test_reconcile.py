"""One pass, over a cluster held in memory."""

from __future__ import annotations

import contextlib
from typing import Any

import httpx
import pytest

from memsys_operator import names
from memsys_operator.cluster import ClusterError, Refused
from memsys_operator.credentials import POSTGRES_KEYS
from memsys_operator.keys.api import KeysAPI
from memsys_operator.observed import Key, Manifest, Observed, key_of
from memsys_operator.reconcile import Reconciler
from memsys_operator.sync import SyncReport

from .memory import REF, Memory, reconciler, settle
from .support import SETTINGS, UID, claim, counting, memory_system, secret


async def test_a_system_becomes_ready_and_then_nothing_is_written() -> None:
    cluster = Memory(memory_system())
    await settle(cluster)
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.condition("Reconciling")["reason"] == "UpToDate"
    assert cluster.events == [("Normal", "Ready")]


async def test_databases_are_made_first_then_the_api_then_the_mcp_server() -> None:
    cluster = Memory(memory_system())
    await settle(cluster)
    order = [w.removeprefix("Apply ") for w in cluster.writes if "StatefulSet" in w or "Deployment" in w]
    assert order[:4] == ["StatefulSet/m-postgres", "StatefulSet/m-neo4j", "Deployment/m-api", "Deployment/m-mcp"]


async def test_a_system_that_is_gone_or_going_is_left_alone() -> None:
    assert (await reconciler(Memory(None)).run(REF, None)).gone
    going = memory_system()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    cluster = Memory(going)
    assert (await reconciler(cluster).run(REF, None)).gone
    assert cluster.writes == []


async def test_a_rejected_spec_writes_the_status_alone_and_only_once() -> None:
    cluster = Memory(memory_system({"embedder": {"provider": "ollama", "model": "home-made"}}))
    for _ in range(2):
        outcome = await reconciler(cluster).run(REF, None)
    assert cluster.writes == ["status"]
    assert not outcome.again
    assert cluster.events == [("Warning", "Rejected")]
    assert cluster.condition("Ready")["reason"] == "Rejected"


async def test_a_paused_system_writes_the_status_alone() -> None:
    cluster = Memory(memory_system({"paused": True}))
    await reconciler(cluster).run(REF, None)
    assert cluster.writes == ["status"]


def owned_by(name: str, uid: str, *objects: Manifest) -> list[Manifest]:
    owner = {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": name, "uid": uid}
    return [{**obj, "metadata": {**obj["metadata"], "uid": "u", "ownerReferences": [owner]}} for obj in objects]


def owners(cluster: Memory) -> list[str]:
    return [o["name"] for obj in cluster.seen.objects.values() for o in obj["metadata"].get("ownerReferences", ())]


KEPT = (
    claim("data-m-postgres-0"),
    claim("data-m-neo4j-0"),
    secret("m-postgres", {}),
    secret("m-neo4j", {}),
    secret("m-admin-key", {}),
)


@pytest.mark.parametrize(
    "spec", [{"paused": True}, {"embedder": {"provider": "ollama", "model": "home-made"}}, {"unheard-of": 1}]
)
async def test_retain_is_in_force_before_anything_stops_the_pass(spec: dict[str, Any]) -> None:
    for uid in (UID, "of an earlier system of the name"):
        cluster = Memory(memory_system({"deletionPolicy": "Retain", **spec}), *owned_by("m", uid, *KEPT))
        await reconciler(cluster).run(REF, None)
        assert owners(cluster) == []
        assert [write for write in cluster.writes if not write.startswith("Release")] == ["status"]


async def test_other_owners_and_data_that_shall_go_with_the_system_are_left_alone() -> None:
    other = Memory(memory_system({"paused": True}), *owned_by("another", "x", *KEPT))
    going = Memory(memory_system({"paused": True, "deletionPolicy": "Delete"}), *owned_by("m", UID, *KEPT))
    for cluster in (other, going):
        await reconciler(cluster).run(REF, None)
        assert cluster.writes == ["status"]


async def test_data_that_cannot_be_released_stalls_and_says_that_retain_is_not_in_force() -> None:
    cluster = Memory(memory_system({"paused": True}), *owned_by("m", UID, *KEPT))
    cluster.refuse = ("PersistentVolumeClaim", "data-m-postgres-0")
    await reconciler(cluster).run(REF, None)
    stalled = cluster.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "RetainNotInForce")
    for word in ("spec.deletionPolicy", "data-m-postgres-0", "quota exceeded"):
        assert word in stalled["message"]
    assert owners(cluster) == ["m"], "the others are released all the same"


async def test_a_lost_secret_stalls_and_touches_nothing() -> None:
    cluster = Memory(memory_system(), claim("data-m-postgres-0"))
    await reconciler(cluster).run(REF, None)
    assert cluster.writes == ["status"]
    assert cluster.condition("Stalled")["reason"] == "CredentialsLost"


async def test_a_reset_is_done_once_and_the_permission_is_taken_back() -> None:
    obj = memory_system(annotations={names.RESET_ANNOTATION: "postgres"})
    cluster = Memory(obj, claim("data-m-postgres-0"))
    await settle(cluster)
    assert cluster.writes.count(f"drop {names.RESET_ANNOTATION}") == 1
    assert cluster.condition("Ready")["status"] == "True"


def embedder(model: str) -> Manifest:
    return {"embedder": {"provider": "ollama", "model": model, "dimensions": 768, "baseURL": "http://ollama:11434"}}


def recorded(cluster: Memory) -> str:
    """The embedder that the data is set up for."""
    kept = cluster.seen.get("Secret", "m-postgres")
    assert kept is not None
    told: str = kept["metadata"]["annotations"][names.EMBEDDER_ANNOTATION]
    return told


@pytest.mark.parametrize("cut_off_at", [None, ("Secret", "m-postgres"), ("StatefulSet", "m-postgres")])
async def test_a_mistyped_embedder_can_be_corrected_before_there_is_a_volume(cut_off_at: Key | None) -> None:
    cluster = Memory(memory_system(embedder("nomic-embed-txt")))
    cluster.refuse = cut_off_at
    await reconciler(cluster).run(REF, None)
    assert cluster.obj is not None
    cluster.obj["spec"] = embedder("nomic-embed-text")
    await reconciler(cluster).run(REF, None)  # cut off at the same place
    cluster.refuse = None
    await settle(cluster)
    assert cluster.condition("Ready")["status"] == "True"
    assert recorded(cluster) == "ollama/nomic-embed-text/768"


async def test_a_mistyped_embedder_is_bound_by_its_volume_until_that_is_gone() -> None:
    cluster = Memory(memory_system(embedder("nomic-embed-txt")))
    await settle(cluster)
    volume = claim("data-m-postgres-0")
    cluster.seen = Observed({**cluster.seen.objects, key_of(volume): volume})
    await settle(cluster)
    assert cluster.obj is not None
    cluster.obj["spec"] = embedder("nomic-embed-text")
    await reconciler(cluster).run(REF, None)
    told = cluster.condition("Stalled")["message"]
    assert recorded(cluster) == "ollama/nomic-embed-txt/768"
    # The way out that the message names. Nothing is made anew before the volume is gone.
    assert "kubectl delete deployment/m-api statefulset/m-postgres pvc/data-m-postgres-0" in told
    way = [("Deployment", "m-api"), ("StatefulSet", "m-postgres"), ("PersistentVolumeClaim", "data-m-postgres-0")]
    for gone in way:
        writes = [write for write in cluster.writes if write != "status"]
        await reconciler(cluster).run(REF, None)
        assert [write for write in cluster.writes if write != "status"] == writes
        cluster.seen = Observed({key: obj for key, obj in cluster.seen.objects.items() if key != gone})
    await settle(cluster)
    assert cluster.condition("Ready")["status"] == "True"
    assert recorded(cluster) == "ollama/nomic-embed-text/768"


async def test_what_the_apiserver_refuses_is_reported_and_everything_else_is_done() -> None:
    cluster = Memory(memory_system())
    cluster.refuse = ("StatefulSet", "m-postgres")
    outcome = await reconciler(cluster).run(REF, None)
    assert isinstance(outcome.failure, Refused)
    assert ("StatefulSet", "m-neo4j") in cluster.seen.objects
    for kind in ("Ready", "PostgresReady", "Stalled"):
        assert cluster.condition(kind)["reason"] == "Refused"
        assert "StatefulSet m-postgres" in cluster.condition(kind)["message"]
        assert "quota exceeded" in cluster.condition(kind)["message"]
    assert cluster.condition("Stalled")["status"] == "True"
    cluster.refuse = None
    await settle(cluster)
    assert cluster.condition("Ready")["status"] == "True"


async def test_a_change_that_is_refused_stalls_while_what_served_before_serves_on() -> None:
    cluster = Memory(memory_system())
    await settle(cluster)
    assert cluster.obj is not None
    cluster.obj["spec"] = {"mcp": {"replicas": 2}}
    cluster.refuse = ("Deployment", "m-mcp")
    await reconciler(cluster).run(REF, SyncReport(available=True))
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.condition("Stalled")["reason"] == "Refused"
    assert cluster.condition("Reconciling")["reason"] == "Stalled"


@pytest.mark.parametrize("first", [("Secret", "m-postgres"), ("Secret", "m-api"), ("NetworkPolicy", "m-postgres")])
async def test_no_pod_is_made_without_its_secrets_and_its_wall(first: Key) -> None:
    cluster = Memory(memory_system())
    cluster.refuse = first
    await reconciler(cluster).run(REF, None)
    assert not [write for write in cluster.writes if "StatefulSet" in write or "Deployment" in write]


async def test_an_apiserver_that_does_not_answer_is_waited_for_once() -> None:
    cluster = Memory(memory_system())
    cluster.refuse, cluster.answers = ("ServiceAccount", "m-postgres"), False
    outcome = await reconciler(cluster).run(REF, None)
    assert isinstance(outcome.failure, ClusterError)
    assert cluster.condition("Reconciling")["reason"] == "APIServerError"
    assert cluster.condition("Stalled")["status"] == "False"
    assert not [write for write in cluster.writes if "StatefulSet" in write]


async def test_keys_are_looked_after_whatever_is_refused_or_rejected() -> None:
    """A key that was declared for a MemoryKey that is gone ends, also while the system's spec stalls."""
    for stalls in ("refused", "rejected", "unreported"):
        cluster = Memory(memory_system())
        await settle(cluster)
        assert cluster.obj is not None
        if stalls == "rejected":
            cluster.obj["spec"] = {"embedder": {"provider": "ollama", "model": "home-made"}}
        elif stalls == "refused":
            cluster.obj["spec"] = {"api": {"port": 9000}}
            cluster.refuse = ("Service", "m-api")
        else:
            cluster.obj["spec"] = {"api": {"logLevel": "debug"}}
            cluster.refuse_status = True
        revoked: list[str] = []

        def answer(request: httpx.Request) -> httpx.Response:
            if request.method == "DELETE":
                revoked.append(str(request.url))  # noqa: B023 - answered within this turn
            return httpx.Response(200, json=[{"id": "gone", "name": "MemoryKey n/gone"}])

        keys = KeysAPI(httpx.MockTransport(answer))
        outcome = await Reconciler(cluster, SETTINGS, keys, counting()).run(REF, None)  # type: ignore[arg-type]
        assert revoked == ["http://m-api.n.svc:8000/keys/gone"], stalls
        assert outcome.graph is not None, stalls


async def test_an_event_that_cannot_be_recorded_fails_nothing() -> None:
    cluster = Memory(memory_system())
    cluster.refuse_events = True
    await settle(cluster)
    assert cluster.condition("Ready")["status"] == "True"


async def test_only_volumes_that_shall_grow_ask_for_their_class() -> None:
    spec = {"postgres": {"storage": {"size": "20Gi"}}}
    volumes = (claim("data-m-postgres-0", storage_class="growing"), claim("data-m-neo4j-0"))
    credentials = secret("m-postgres", dict.fromkeys(POSTGRES_KEYS, "long-and-kept"))
    cluster = Memory(memory_system(spec), *volumes, credentials, secret("m-neo4j", {"password": "long-and-kept-too"}))
    await settle(cluster)
    grown = cluster.seen.get("PersistentVolumeClaim", "data-m-postgres-0")
    assert grown is not None
    assert grown["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert cluster.condition("Stalled")["status"] == "False"


async def test_the_graph_can_be_asked_once_the_api_serves() -> None:
    cluster = Memory(memory_system({"sync": {"intervalSeconds": 7}}))
    assert (await reconciler(cluster).run(REF, None)).graph is None
    await settle(cluster)
    target = (await reconciler(cluster).run(REF, SyncReport(available=True))).graph
    assert target is not None
    assert (target.url, target.interval_seconds) == ("http://m-api.n.svc:8000", 7)
    ports = cluster.seen.objects["Service", "m-api"]["spec"]["ports"]
    ports.insert(0, {"name": "debug", "port": 9999, "protocol": "TCP"})
    assert (await reconciler(cluster).run(REF, SyncReport(available=True))).graph == target
    assert target.admin_key.startswith("msk_")


async def test_keys_that_cannot_be_looked_after_leave_the_rest_of_the_outcome() -> None:
    cluster = Memory(memory_system())
    await settle(cluster)
    cluster.refuse_keys = True
    outcome = await reconciler(cluster).run(REF, SyncReport(available=True))
    assert outcome.graph is not None
    assert isinstance(outcome.failure, ClusterError)
    cluster.obj = None
    assert (await reconciler(cluster).run(REF, None)).failure is not None


async def test_an_api_of_which_some_replicas_serve_is_asked() -> None:
    cluster = Memory(memory_system({"api": {"replicas": 3}}))
    await settle(cluster)
    for ready, asked in ((2, True), (1, True), (0, False)):
        cluster.seen.objects["Deployment", "m-api"]["status"]["readyReplicas"] = ready
        outcome = await reconciler(cluster).run(REF, SyncReport(available=True))
        assert (outcome.graph is not None) == asked


async def test_the_ingress_class_that_the_spec_names_is_looked_for() -> None:
    for name, found in (("nginx", "True"), ("no-such-class", "False")):
        cluster = Memory(memory_system({"expose": {"mcp": {"host": "m.test"}, "className": name}}))
        await settle(cluster)
        assert cluster.condition("Exposed")["status"] == found


async def test_without_a_graph_there_is_nothing_to_ask() -> None:
    cluster = Memory(memory_system({"graph": {"provider": "none"}}))
    await settle(cluster, None)
    assert (await reconciler(cluster).run(REF, None)).graph is None
    assert cluster.condition("Ready")["status"] == "True"


async def test_every_write_that_fails_can_be_done_again() -> None:
    """Interrupt the first pass at each of its writes in turn; the next passes always reach the same end."""
    whole_run = Memory(memory_system())
    await settle(whole_run)
    expected = set(whole_run.seen.objects)
    keys = {key_of(a) for a in whole_run.seen.objects.values()}
    for key in sorted(keys):
        cluster = Memory(memory_system())
        cluster.refuse = key
        with contextlib.suppress(ClusterError):
            await settle(cluster)
        cluster.refuse = None
        await settle(cluster)
        assert set(cluster.seen.objects) == expected, key
        assert cluster.condition("Ready")["status"] == "True"
