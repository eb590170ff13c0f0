"""What is said of a system whose spec is rejected as a whole: what runs, what was known, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from memsys_operator import conditions
from memsys_operator.conditions import Findings
from memsys_operator.errors import Rejected
from memsys_operator.observed import Manifest, Observed
from memsys_operator.sync import SyncReport, Walk

from .memory import REF, Memory, reconciler, settle
from .support import memory_system, seen, whole, workload

BAD = {"embedder": {"provider": "ollama", "model": "home-made"}}
NEPTUNE = {"provider": "neptune", "neptune": {"endpoint": "https://n.test:8182", "region": "eu-central-1"}}
OFF = {"provider": "none"}
SYNC = {"pending": 5, "parked": 3, "lagSeconds": 0, "lastChecked": "T1"}
WITHOUT_NEO4J = seen(*(obj for obj in whole() if obj["metadata"]["name"] != "m-neo4j"))


def status(
    spec: dict[str, Any], observed: Observed, before: Manifest | None = None, sync: SyncReport | None = None
) -> dict[str, Any]:
    obj = memory_system({**BAD, **spec}, status=before or {})
    found = Findings(problem=Rejected("spec.embedder: no"), sync=sync)
    return conditions.status(obj, None, observed, found, "T2")


def said(told: dict[str, Any], kind: str) -> tuple[str, str]:
    return next((c["status"], c["reason"]) for c in told["conditions"] if c["type"] == kind)


def condition(kind: str, truth: str, reason: str, message: str = "") -> dict[str, Any]:
    return {"type": kind, "status": truth, "reason": reason, "message": message, "lastTransitionTime": "T1"}


@pytest.mark.parametrize("spec", [{}, {"graph": {}}, {"graph": {"provider": "neo4j", "heap": 7}}])
def test_a_graph_that_the_spec_asks_for_and_that_was_never_made_is_not_switched_off(spec: dict[str, Any]) -> None:
    told = status(spec, Observed())
    assert said(told, "GraphReady") == ("False", "NotCreated")
    assert said(told, "GraphSynced") == ("Unknown", "NotChecked")


def test_what_can_be_read_of_the_graph_is_told() -> None:
    assert said(status({"graph": OFF}, WITHOUT_NEO4J), "GraphReady") == ("True", "Disabled")
    assert said(status({"graph": NEPTUNE}, WITHOUT_NEO4J), "GraphReady") == ("True", "External")
    assert said(status({"graph": {**NEPTUNE, "unheard-of": 1}}, WITHOUT_NEO4J), "GraphReady") == ("True", "External")


@pytest.mark.parametrize("graph", [{"provider": "unheard-of"}, {"provider": 7}, ["neo4j"], "neo4j"])
def test_what_cannot_be_read_of_the_graph_is_unknown(graph: Any) -> None:
    told = status({"graph": graph}, WITHOUT_NEO4J, {"sync": SYNC})
    assert said(told, "GraphReady") == ("Unknown", "Rejected")
    assert said(told, "GraphSynced") == ("Unknown", "NotChecked")
    assert told["sync"] == SYNC


@pytest.mark.parametrize("graph", [OFF, NEPTUNE, {"provider": "unheard-of"}])
def test_a_neo4j_that_runs_is_told_of_whatever_the_spec_asks_for_by_now(graph: Any) -> None:
    told = status(
        {"graph": graph}, seen(*whole()), {"sync": SYNC}, SyncReport(available=True, pending=1, walk=Walk(finished=1))
    )
    assert said(told, "GraphReady") == ("True", "Available")
    assert said(told, "GraphSynced") == ("True", "Synced")
    assert told["sync"]["pending"] == 1
    away = [obj for obj in whole() if obj["metadata"]["name"] != "m-neo4j"]
    down = seen(*away, workload("StatefulSet", "m-neo4j", ready=0))
    assert said(status({"graph": graph}, down), "GraphReady") == ("False", "NotReady")


def test_a_neptune_that_is_still_fed_is_not_switched_off_by_a_spec_that_is_not_carried_out() -> None:
    told = status({"graph": OFF}, WITHOUT_NEO4J, {"sync": SYNC}, SyncReport(available=True, parked=1))
    assert said(told, "GraphReady") == ("Unknown", "Rejected")
    assert said(told, "GraphSynced") == ("False", "Parked")
    assert told["sync"]["parked"] == 1


def test_the_graph_may_lag_as_long_as_the_spec_allows() -> None:
    late = SyncReport(available=True, pending=1, lag_seconds=100, walk=Walk(finished=1))
    assert said(status({"sync": {"intervalSeconds": 120}}, seen(*whole()), sync=late), "GraphSynced")[1] == "Synced"
    for unreadable in ({"intervalSeconds": "long"}, "often"):
        assert said(status({"sync": unreadable}, seen(*whole()), sync=late), "GraphSynced")[1] == "Behind"


def test_that_a_graph_was_off_is_not_what_is_known_of_one_that_is_asked_for() -> None:
    before = {"conditions": [condition("GraphSynced", "True", "Disabled")]}
    assert said(status({}, seen(*whole()), before), "GraphSynced") == ("Unknown", "NotChecked")
    before = {"conditions": [condition("GraphSynced", "False", "Parked")]}
    assert said(status({}, seen(*whole()), before), "GraphSynced") == ("False", "Parked")


def test_a_way_in_that_was_made_stays_and_so_does_what_is_said_of_it() -> None:
    exposed = condition("Exposed", "True", "RouteInPlace", "requests to http://m.test/mcp are routed to this system")
    (told,) = (c for c in status({}, seen(*whole()), {"conditions": [exposed]})["conditions"] if c["type"] == "Exposed")
    assert told == {**exposed, "observedGeneration": 3}
    assert not [c for c in status({}, seen(*whole()))["conditions"] if c["type"] == "Exposed"]


async def test_a_running_system_on_neptune_keeps_its_graph_watched_and_shown() -> None:
    cluster = Memory(memory_system({"graph": NEPTUNE, "expose": {"mcp": {"host": "m.test"}}}))
    await settle(cluster, SyncReport(available=True, pending=5, parked=3))
    assert cluster.obj is not None
    known = cluster.obj["status"]
    cluster.obj["spec"] |= BAD
    for _ in range(2):
        outcome = await reconciler(cluster).run(REF, None)
        assert outcome.graph is not None
    kept = cluster.obj["status"]
    assert kept["sync"] == known["sync"]
    for kind in ("GraphReady", "GraphSynced", "Exposed"):
        assert said(kept, kind) == said(known, kind)
    labels = {"namespace": "n", "name": "m"}
    assert REGISTRY.get_sample_value("memsys_system_graph_parked", labels) == 3
    assert REGISTRY.get_sample_value("memsys_system_condition", {**labels, "type": "Exposed", "status": "True"}) == 1
