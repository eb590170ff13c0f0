from __future__ import annotations

from typing import Any

import pytest

from memsys_operator import conditions
from memsys_operator.conditions import Condition, Findings
from memsys_operator.errors import Broken, Rejected, Waiting
from memsys_operator.observed import Observed
from memsys_operator.sync import Drift, SyncReport, Walk

from .support import claim, failing_pod, memory_system, seen, system, whole, workload

TYPES = [
    "Ready", "PostgresReady", "GraphReady", "APIReady", "MCPReady", "GraphSynced", "Reconciling", "Stalled",
]  # fmt: skip
#: A comparison of everything that has ended once.
COMPARED = Walk(finished=1)
SYNCED = SyncReport(available=True, walk=COMPARED)


def told(observed: Observed, found: Findings | None = None, **more: Any) -> dict[str, Condition]:
    return {c.type: c for c in conditions.conditions("m", observed, found or Findings(), **more)}


def truths(observed: Observed, found: Findings | None = None, **more: Any) -> dict[str, str]:
    return {kind: c.status for kind, c in told(observed, found, **more).items()}


def test_a_whole_system_is_ready_and_quiet() -> None:
    assert truths(seen(*whole()), Findings(sync=SYNCED)) == dict(
        zip(TYPES, ["True", "True", "True", "True", "True", "True", "False", "False"], strict=True)
    )


def test_an_empty_cluster_is_not_ready_and_says_what_is_missing() -> None:
    found = told(Observed(), Findings(waiting={"api": Waiting("WaitingForPostgres", "later")}))
    assert found["Ready"].status == "False"
    assert found["Ready"].message == "Postgres: StatefulSet m-postgres does not exist"
    assert (found["APIReady"].reason, found["MCPReady"].reason) == ("WaitingForPostgres", "NotCreated")
    assert found["Reconciling"].status == "True"


@pytest.mark.parametrize("index", range(4))
def test_one_part_that_is_not_ready_makes_the_system_not_ready(index: int) -> None:
    objects = whole()
    objects[index]["status"]["readyReplicas"] = 0
    found = told(seen(*objects))
    assert found[TYPES[index + 1]].status == "False"
    assert found["Ready"].status == "False"
    assert found["Ready"].message.startswith(TYPES[index + 1].removesuffix("Ready"))
    assert found["Reconciling"].status == "True"


@pytest.mark.parametrize("index", range(4))
def test_a_part_that_is_scaled_to_no_pod_serves_nobody(index: int) -> None:
    objects = whole()
    objects[index]["spec"]["replicas"] = objects[index]["status"]["readyReplicas"] = 0
    found = told(seen(*objects), paused=True)
    assert (found[TYPES[index + 1]].status, found[TYPES[index + 1]].reason) == ("False", "ScaledToZero")
    assert found["Ready"].status == "False"
    assert not conditions.serving(objects[index])


def test_a_part_that_serves_with_fewer_pods_is_ready_and_waited_for() -> None:
    objects = whole()
    objects[2] = workload("Deployment", "m-api", ready=2, replicas=3)
    pod = failing_pod("api")
    found = told(seen(*objects, pods=(pod,)), Findings(sync=SYNCED))
    assert (found["APIReady"].status, found["APIReady"].reason) == ("True", "PartlyAvailable")
    assert found["APIReady"].message.startswith("2 of 3 pods are ready: pod m-api-new")
    assert found["Ready"].status == found["GraphSynced"].status == "True"
    assert (found["Reconciling"].status, found["Reconciling"].message) == ("True", "waiting for API")


def test_what_a_pod_suffers_from_stands_in_the_condition() -> None:
    objects = whole()
    objects[2]["status"]["readyReplicas"] = 0
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
    labels = {"app.kubernetes.io/component": "api"}
    pod = {"metadata": {"name": "m-api-1", "labels": labels}, "status": {"conditions": [scheduled]}}
    found = told(seen(*objects, pods=(pod,)))
    assert found["APIReady"].reason == found["Ready"].reason == "Unschedulable"
    assert "no room" in found["Ready"].message


def test_a_graph_that_is_away_is_told_after_the_parts_that_everything_needs() -> None:
    objects = whole()
    objects[1]["status"]["readyReplicas"] = objects[3]["status"]["readyReplicas"] = 0
    assert told(seen(*objects))["Ready"].message.startswith("MCP")


def test_writes_of_this_pass_are_reconciling() -> None:
    assert truths(seen(*whole()), Findings(changes=1))["Reconciling"] == "True"


@pytest.mark.parametrize("problem", [Rejected("spec.x: no"), Broken("CredentialsLost", "gone")])
def test_a_problem_that_needs_a_person_is_stalled_and_not_ready(problem: Rejected | Broken) -> None:
    found = told(seen(*whole()), Findings(problem=problem))
    assert (found["Ready"].status, found["Stalled"].status, found["Reconciling"].status) == ("False", "True", "False")
    assert found["Ready"].reason == found["Stalled"].reason == problem.reason
    assert found["Stalled"].message == problem.message
    assert found["PostgresReady"].status == "True", "what runs is told as it is"


def test_an_obstacle_stalls_without_taking_readiness_away() -> None:
    found = told(seen(*whole()), Findings(obstacles=[Broken("StorageNotExpandable", "too small")]))
    assert (found["Ready"].status, found["Stalled"].status) == ("True", "True")
    assert (found["Reconciling"].status, found["Reconciling"].reason) == ("False", "Stalled")


def test_what_only_takes_its_time_is_reconciling_and_stalls_nothing() -> None:
    found = told(seen(*whole()), Findings(obstacles=[Waiting("ResizePending", "it grows")]))
    assert (found["Ready"].status, found["Stalled"].status) == ("True", "False")
    assert (found["Reconciling"].status, found["Reconciling"].reason) == ("True", "ResizePending")


def test_what_needs_nobody_is_told_beside_being_up_to_date() -> None:
    found = told(seen(*whole()), Findings(notes=["the volume has more"]))
    assert (found["Reconciling"].status, found["Stalled"].status) == ("False", "False")
    assert found["Reconciling"].message.endswith("; the volume has more")


def test_a_lost_graph_password_is_told_at_the_graph() -> None:
    found = told(seen(*whole()), Findings(graph_problem=Broken("CredentialsLost", "gone")))
    assert (found["GraphReady"].status, found["GraphReady"].reason) == ("False", "CredentialsLost")
    assert (found["Ready"].status, found["Stalled"].status, found["APIReady"].status) == ("False", "True", "True")


def test_without_a_graph_its_conditions_are_true_and_say_why() -> None:
    objects = [obj for obj in whole() if obj["metadata"]["name"] != "m-neo4j"]
    found = told(seen(*objects), graph=False)
    assert found["Ready"].status == "True"
    assert found["GraphReady"] == Condition("GraphReady", "True", "Disabled", "spec.graph.provider is none")
    assert found["GraphSynced"].reason == "Disabled"


@pytest.mark.parametrize("off", [{"graph": False}, {"runs_neo4j": False}])
def test_the_volume_that_a_graph_has_left_behind_is_named(off: dict[str, bool]) -> None:
    found = told(seen(*whole(), claim("data-m-neo4j-0")), **off)
    assert "PersistentVolumeClaim data-m-neo4j-0 is kept" in found["GraphReady"].message
    assert "data-m-neo4j-0" not in told(seen(*whole(), claim("data-m-neo4j-0")))["GraphReady"].message


def test_a_graph_elsewhere_is_not_waited_for_but_still_watched() -> None:
    objects = [obj for obj in whole() if obj["metadata"]["name"] != "m-neo4j"]
    found = told(seen(*objects), runs_neo4j=False)
    assert (found["Ready"].status, found["GraphReady"].reason) == ("True", "External")
    assert found["GraphSynced"].reason == "NotChecked"


def test_a_paused_system_is_not_reconciling() -> None:
    found = told(Observed(), paused=True)
    assert (found["Reconciling"].status, found["Reconciling"].reason) == ("False", "Paused")
    assert found["Ready"].status == "False"


REFUSED_LOGIN = "Neo4j at bolt://m-neo4j:7687 refused user 'neo4j': correct NEO4J_USER and NEO4J_PASSWORD"


@pytest.mark.parametrize(
    ("report", "status", "reason"),
    [
        (SYNCED, "True", "Synced"),
        (SyncReport(available=True, pending=9, lag_seconds=20, walk=COMPARED), "True", "Synced"),
        (SyncReport(available=True, pending=9, lag_seconds=120), "False", "Behind"),
        (SyncReport(available=True, parked=1), "False", "Parked"),
        (SyncReport(available=False, pending=1), "False", "GraphUnavailable"),
        (SyncReport(available=False, pending=1, parked=1, last_error=REFUSED_LOGIN), "False", "CredentialsRefused"),
        (SyncReport(available=True, parked=1, last_error=REFUSED_LOGIN), "False", "Parked"),
        (SyncReport(error="away"), "Unknown", "APIUnreachable"),
        (SyncReport(available=True, uncompared="the graph is busy"), "Unknown", "NotCompared"),
        (SyncReport(available=True, uncompared="the graph is busy", parked=1), "False", "Parked"),
        (SyncReport(available=True), "Unknown", "NotCompared"),
        (SyncReport(available=True, drift=Drift(), walk=Walk("p/1", started=1)), "Unknown", "NotCompared"),
        (SyncReport(available=True, drift=Drift(1), walk=Walk("p/1", started=1)), "False", "Drifted"),
        (None, "Unknown", "NotChecked"),
    ],
)
def test_the_graph_is_synced_or_the_reason_says_why_not(report: SyncReport | None, status: str, reason: str) -> None:
    found = conditions.graph_synced("m", True, report, 30)
    assert (found.status, found.reason) == (status, reason)


def test_a_graph_that_does_not_serve_the_api_says_why_and_what_to_do() -> None:
    away = SyncReport(available=False, pending=1, last_error="Neo4j at bolt://m-neo4j:7687 is away: no route")
    assert "is away: no route" in conditions.graph_synced("m", True, away, 30).message
    refused = SyncReport(available=False, pending=1, last_error=REFUSED_LOGIN)
    said = conditions.graph_synced("m", True, refused, 30).message
    for words in (REFUSED_LOGIN, "Secret m-neo4j", "secret/m-neo4j statefulset/m-neo4j pvc/data-m-neo4j-0"):
        assert words in said


def test_what_was_known_of_the_graph_holds_until_the_first_look_after_a_restart() -> None:
    last = {"status": "True", "reason": "Synced", "message": "all there"}
    assert conditions.graph_synced("m", True, None, 30, last).status == "True"
    assert conditions.graph_synced("m", False, None, 30, last).status == "Unknown"


# -- the whole status


def report(obj: dict[str, Any], found: Findings | None = None, now: str = "T1", **more: Any) -> dict[str, Any]:
    target = more.pop("target", system(obj["spec"]))
    return conditions.status(obj, target, seen(*whole()), found or Findings(sync=SYNCED), now)


def test_the_status_of_an_unchanged_system_does_not_change_with_time() -> None:
    first = report(memory_system(), now="T1")
    assert report(memory_system(status=first), now="T2") == first


def test_all_conditions_are_there_in_order_and_speak_of_the_generation() -> None:
    status = report(memory_system())
    assert [c["type"] for c in status["conditions"]] == TYPES
    assert {c["observedGeneration"] for c in status["conditions"]} == {status["observedGeneration"]} == {3}


def test_the_time_of_transition_changes_with_the_status_alone() -> None:
    first = report(memory_system(), now="T1")
    again = report(memory_system(status=first), Findings(changes=1, sync=SyncReport(True, 5, walk=COMPARED)), now="T2")
    times = {c["type"]: c["lastTransitionTime"] for c in again["conditions"]}
    assert times["Reconciling"] == "T2"
    assert times["Ready"] == times["GraphSynced"] == "T1"


def test_facts_tell_where_everything_is() -> None:
    status = report(memory_system({"api": {"port": 9000}}))
    assert status["adminKeySecret"] == {"name": "m-admin-key", "key": "key"}
    assert status["endpoints"] == {
        "api": "http://m-api.n.svc:9000",
        "mcp": "http://m-mcp.n.svc:8080/mcp",
        "postgres": "m-postgres-rw.n.svc:5432",
        "neo4j": "bolt://m-neo4j.n.svc:7687",
    }
    assert status["embedding"]["dimensions"] == 384


def test_a_rejected_spec_leaves_the_facts_of_what_runs() -> None:
    first = report(memory_system())
    rejected = conditions.status(
        memory_system(status=first), None, seen(*whole()), Findings(problem=Rejected("spec.x: no")), "T2"
    )
    assert {k: rejected[k] for k in ("endpoints", "embedding", "adminKeySecret")} == {
        k: first[k] for k in ("endpoints", "embedding", "adminKeySecret")
    }


def test_the_numbers_of_the_graph_keep_their_time_while_they_are_the_same() -> None:
    found = Findings(sync=SyncReport(True, 2, 1, 10))
    first = report(memory_system(), found, now="T1")
    assert first["sync"] == {"pending": 2, "parked": 1, "lagSeconds": 10, "lastChecked": "T1"}
    assert report(memory_system(status=first), found, now="T2")["sync"]["lastChecked"] == "T1"
    other = Findings(sync=SyncReport(True, 3, 1, 10))
    assert report(memory_system(status=first), other, now="T2")["sync"]["lastChecked"] == "T2"


def test_numbers_of_a_graph_that_was_switched_off_go() -> None:
    first = report(memory_system())
    assert "sync" in first
    off = memory_system({"graph": {"provider": "none"}}, status=first)
    assert "sync" not in report(off, Findings())


def test_rolling_and_serving_of_nothing_are_false() -> None:
    assert not conditions.serving(None)
    assert not conditions.rolling(None)
    assert conditions.serving(workload("Deployment", "x", ready=2, replicas=2))
    assert conditions.serving(workload("Deployment", "x", ready=1, replicas=2))
    assert not conditions.serving(workload("Deployment", "x", ready=0, replicas=2))


def test_drift_is_told_with_its_number() -> None:
    report = SyncReport(available=True, drift=Drift(2))
    found = told(seen(*whole()), Findings(sync=report))["GraphSynced"]
    assert (found.status, found.reason) == ("False", "Drifted")
    assert found.message.startswith("2 memories differ")


def test_drift_that_cannot_be_mended_says_so() -> None:
    report = SyncReport(available=True, drift=Drift(), walk=Walk(stuck=2))
    assert "has not helped" in told(seen(*whole()), Findings(sync=report))["GraphSynced"].message


def test_the_drift_of_the_last_comparison_stays_in_the_status_until_the_next() -> None:
    def sync(report: SyncReport, before: dict[str, Any]) -> dict[str, Any]:
        obj = memory_system(status={"sync": before})
        found: dict[str, Any] = conditions.status(obj, system(), seen(*whole()), Findings(sync=report), "now")["sync"]
        return found

    first = sync(SyncReport(available=True, drift=Drift(3)), {})
    assert first["drifted"] == 3
    assert sync(SyncReport(available=True), first) == first
    assert sync(SyncReport(available=True, drift=Drift()), first)["drifted"] == 0


def test_cycles_that_find_nothing_cost_a_status_no_write_for_an_hour() -> None:
    def sync(finished: int, before: dict[str, Any]) -> dict[str, Any]:
        report = SyncReport(available=True, drift=Drift(), walk=Walk(None, finished, finished, 600))
        obj = memory_system(status={"sync": before})
        found: dict[str, Any] = conditions.status(obj, system(), seen(*whole()), Findings(sync=report), "now")["sync"]
        return found

    first = sync(0, {})
    assert (first["lastFullCycle"], first["driftCycleSeconds"]) == ("1970-01-01T00:00:00Z", 600)
    assert sync(3599, first) == first
    assert sync(3600, first)["lastFullCycle"] == "1970-01-01T01:00:00Z"


def test_a_walk_that_is_under_way_is_in_the_status() -> None:
    report = SyncReport(available=True, drift=Drift(), walk=Walk("p/1", started=60, stuck_so_far=2))
    obj = memory_system(status={})
    found = conditions.status(obj, system(), seen(*whole()), Findings(sync=report), "now")["sync"]
    assert (found["driftCursor"], found["driftCycleStarted"]) == ("p/1", "1970-01-01T00:01:00Z")
    assert (found["drifted"], found["unmendable"]) == (2, 2)
