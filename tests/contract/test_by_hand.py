"""What people do by hand to objects of a system, beside what a merge of fields puts back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .support import Operator, System, eventually


@pytest.fixture
def ready(operator: Operator, system: System) -> System:
    system.apply({"api": {"replicas": 2}})
    system.make_all_ready()
    return system


def patch(system: System, kind: str, name: str, *operations: dict[str, Any]) -> None:
    system.kubectl("patch", kind, name, "--type=json", "-p", json.dumps(operations))


def test_what_cannot_stand_beside_ours_is_taken_back(ready: System) -> None:
    """A moved port has the name of ours, a budget cannot have two limits, nor a volume two kinds."""
    for service in ("m-api", "m-postgres-rw"):
        patch(ready, "service", service, {"op": "replace", "path": "/spec/ports/0/port", "value": 9000})
    limit = {"op": "add", "path": "/spec/minAvailable", "value": 2}
    patch(ready, "poddisruptionbudget", "m-api", {"op": "remove", "path": "/spec/maxUnavailable"}, limit)
    volumes = ready.wait_child("deployment", "mcp")["spec"]["template"]["spec"]["volumes"]
    at = volumes.index({"name": "tmp", "emptyDir": {}})
    of_the_node = {"name": "tmp", "hostPath": {"path": "/"}}
    where = f"/spec/template/spec/volumes/{at}"
    patch(ready, "deployment", "m-mcp", {"op": "replace", "path": where, "value": of_the_node})

    def taken_back() -> bool:
        for name, port in (("api", 8000), ("postgres-rw", 5432)):
            ports = [p["port"] for p in ready.wait_child("service", name)["spec"]["ports"]]
            assert ports == [port], ports
        budget = ready.wait_child("poddisruptionbudget", "api")["spec"]
        assert (budget.get("minAvailable"), budget.get("maxUnavailable")) == (None, 1), budget
        return volumes == ready.wait_child("deployment", "mcp")["spec"]["template"]["spec"]["volumes"]

    eventually("all taken back", taken_back)
    ready.make_all_ready()
    ready.wait("Stalled", "False", "NotStalled")
    ready.wait("Reconciling", "False", "UpToDate")


def test_what_others_added_outlasts_a_spec_that_is_refused_for_itself(ready: System) -> None:
    expose: dict[str, Any] = {"mcp": {"host": "memory.example.com"}}
    ready.apply({"expose": expose})
    ready.wait_child("ingress", "mcp")
    fallback = {"service": {"name": "other", "port": {"number": 80}}}
    patch(ready, "ingress", "m-mcp", {"op": "add", "path": "/spec/defaultBackend", "value": fallback})
    too_much = {f"example.com/{n}": 4096 * "x" for n in range(64)}
    change = {"spec": {"expose": {"annotations": too_much}}}
    ready.kubectl("patch", "memsys", "m", "--type=merge", "--patch-file=/dev/stdin", stdin=json.dumps(change))
    assert "Ingress m-mcp" in ready.wait("Stalled", "True", "Refused")["message"]
    patch(ready, "memsys", "m", {"op": "replace", "path": "/spec/expose/annotations", "value": {"example.com/0": "x"}})
    ready.wait("Stalled", "False")
    eventually(
        "the annotation", lambda: "example.com/0" in ready.wait_child("ingress", "mcp")["metadata"]["annotations"]
    )
    assert ready.wait_child("ingress", "mcp")["spec"]["defaultBackend"] == fallback


def test_a_label_that_was_left_empty_names_no_system(operator: Operator, ready: System) -> None:
    before = operator.log.read_text()
    secret: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "any"}}
    secret["metadata"]["labels"] = {"memsys.dev/system": ""}
    ready.kubectl.apply(secret)
    passes = operator.passes()
    eventually("some passes more", lambda: operator.passes() > passes + 3)
    assert "cannot be the name of an object" not in operator.log.read_text().removeprefix(before)
