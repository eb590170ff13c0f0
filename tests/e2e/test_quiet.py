"""A system that nobody changes costs the apiserver no writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from .conftest import CLUSTER, audit_log
from .support.kubectl import System
from .support.waiting import eventually

OPERATOR = "system:serviceaccount:memsys-system:memsys-operator"
WRITES = {"create", "update", "patch", "delete", "deletecollection"}
QUIET_RECONCILES = 2


def operator_writes(log: Path) -> list[dict[str, Any]]:
    """Return every write of the operator's ServiceAccount in the audit log, leases aside."""
    events = [json.loads(line) for line in log.read_text().splitlines() if OPERATOR in line]
    return [
        event
        for event in events
        if event["user"]["username"] == OPERATOR
        and event["verb"] in WRITES
        and event["stage"] == "ResponseComplete"
        and event["objectRef"]["resource"] != "leases"
    ]


def test_reconciling_an_unchanged_system_writes_nothing(system: System) -> None:
    log = audit_log(CLUSTER)
    pod = next(iter(system.kubectl.names("pods", namespace="memsys-system")))
    with system.kubectl.forward(f"pod/{pod}", 8081, namespace="memsys-system") as address:

        def reconciles() -> float:
            text = httpx.get(f"http://{address}/metrics").text
            name = "memsys_reconcile_total"
            return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

        settled = eventually("the operator's first reconcile", reconciles, within=60)
        eventually("one more reconcile", lambda: reconciles() > settled, within=120)
        quiet_from, writes_before = reconciles(), len(operator_writes(log))
        eventually(
            f"{QUIET_RECONCILES} reconciles more",
            lambda: reconciles() >= quiet_from + QUIET_RECONCILES,
            within=240,
        )
    assert [(w["verb"], w["requestURI"]) for w in operator_writes(log)[writes_before:]] == []
