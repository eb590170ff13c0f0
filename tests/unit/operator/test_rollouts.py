"""What the conditions tell of workloads that are rolled out, and of pods that fail or are refused on the way."""

from __future__ import annotations

from typing import Any

import pytest

from memsys_operator import conditions
from memsys_operator.conditions import Condition, Findings
from memsys_operator.observed import Observed

from .support import failing_pod, seen, whole


def told(observed: Observed) -> dict[str, Condition]:
    return {c.type: c for c in conditions.conditions("m", observed, Findings())}


def truths(observed: Observed) -> dict[str, str]:
    return {kind: c.status for kind, c in told(observed).items()}


@pytest.mark.parametrize("change", ["updatedReplicas", "observedGeneration"])
def test_a_rollout_keeps_the_system_ready_and_reconciling(change: str) -> None:
    objects = whole()
    objects[2]["status"][change] = 0
    found = told(seen(*objects))
    assert (found["Ready"].status, found["Reconciling"].status) == ("True", "True")
    assert found["Reconciling"].reason == "RollingOut"


def rolling_out(index: int, progressing: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """A system of which one Deployment serves from its old pod and has a new one that is not ready."""
    objects = whole()
    objects[index]["status"] |= {"replicas": 2, "conditions": [progressing] if progressing else []}
    return objects


GIVEN_UP = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}


def test_a_new_pod_that_fails_is_told_while_the_old_one_serves() -> None:
    found = told(seen(*rolling_out(2), pods=(failing_pod("api"),)))
    assert (found["Ready"].status, found["APIReady"].status, found["Stalled"].status) == ("True", "True", "False")
    assert (found["Reconciling"].status, found["Reconciling"].reason) == ("True", "ImagePullBackOff")
    for word in ("Deployment m-api", "m-api-new", "registry.test/gone"):
        assert word in found["Reconciling"].message


def test_a_new_pod_that_is_starting_is_nothing_to_tell() -> None:
    starting = failing_pod("api", {"reason": "ContainerCreating"})
    assert told(seen(*rolling_out(2), pods=(starting,)))["Reconciling"].reason == "RollingOut"


@pytest.mark.parametrize("pods", [(failing_pod("mcp"),), ()])
def test_a_rollout_that_is_stuck_needs_a_person_and_takes_no_readiness_away(pods: tuple[Any, ...]) -> None:
    found = told(seen(*rolling_out(3, GIVEN_UP), pods=pods))
    assert (found["Ready"].status, found["Reconciling"].status, found["Stalled"].status) == ("True", "False", "True")
    assert found["Stalled"].reason == "ProgressDeadlineExceeded"
    assert "Deployment m-mcp" in found["Stalled"].message
    assert ("registry.test/gone" in found["Stalled"].message) == bool(pods)


def test_a_first_rollout_can_be_stuck_too_but_not_for_what_an_earlier_template_did() -> None:
    objects = whole()
    objects[2]["status"] |= {"readyReplicas": 0, "conditions": [GIVEN_UP]}
    assert truths(seen(*objects))["Stalled"] == "True"
    objects[2]["metadata"]["generation"] = 3
    assert truths(seen(*objects))["Stalled"] == "False"


def refused(pod: str) -> dict[str, Any]:
    message = f'pods "{pod}" is forbidden: exceeded quota: small, requested: limits.memory=1Gi'
    return {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}


def test_pods_that_a_quota_refuses_are_told_of_a_deployment() -> None:
    objects = whole()
    objects[2]["status"] = {"observedGeneration": 2, "conditions": [refused("m-api-5d8f-x2v9k")]}
    first = told(seen(*objects))
    assert (first["APIReady"].status, first["APIReady"].reason) == ("False", "FailedCreate")
    assert first["Ready"].message.startswith(
        "API: Deployment m-api cannot create pods: forbidden: exceeded quota: small, requested: limits.memory=1Gi"
    )
    objects[2]["status"]["conditions"] = [refused("m-api-5d8f-q7c2m")]
    assert told(seen(*objects)) == first


@pytest.mark.parametrize("progressing", [None, GIVEN_UP])
def test_a_new_pod_that_a_quota_refuses_is_told_while_the_old_one_serves(progressing: dict[str, Any] | None) -> None:
    objects = whole()
    objects[2]["status"] |= {"updatedReplicas": 0, "conditions": [refused("m-api-1"), *filter(None, [progressing])]}
    found = told(seen(*objects))
    assert found["Ready"].status == "True"
    assert "exceeded quota: small" in found["Stalled" if progressing else "Reconciling"].message


def test_a_statefulset_without_a_pod_says_where_the_reason_stands() -> None:
    objects = whole()
    objects[0]["status"] = {"observedGeneration": 2, "replicas": 0}
    found = told(seen(*objects))["PostgresReady"]
    assert (found.status, found.reason) == ("False", "NotReady")
    assert "kubectl -n n describe statefulset m-postgres" in found.message


def test_a_pod_that_is_there_and_fails_says_more_than_one_that_is_not() -> None:
    objects = whole()
    objects[2]["status"] = {"observedGeneration": 2, "replicas": 1, "conditions": [refused("m-api-1")]}
    assert told(seen(*objects, pods=(failing_pod("api"),)))["APIReady"].reason == "ImagePullBackOff"


def test_an_old_pod_that_has_not_gone_is_a_rollout_too() -> None:
    objects = whole()
    objects[3]["status"]["replicas"] = 2
    assert truths(seen(*objects))["Reconciling"] == "True"
