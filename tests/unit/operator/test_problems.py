from __future__ import annotations

from typing import Any

import pytest

from memsys_operator import problems


def pod(name: str = "m-api-1", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": status}


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": "api", "image": "nowhere/api:1", "ready": False, "state": state, **more}


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


READY = pod("ready", conditions=[{"type": "Ready", "status": "True"}])


def test_ready_pods_have_no_problem() -> None:
    assert problems.worst([READY]) is None
    assert problems.worst([]) is None


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        ({"phase": "Pending"}, "Starting", "m-api-1 is starting"),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                             "message": "0/1 nodes: Insufficient memory"}]},
            "Unschedulable", "Insufficient memory",
        ),
        (
            {"containerStatuses": [waiting("ErrImagePull", "not found")]},
            "ImagePullBackOff", "image nowhere/api:1 cannot be pulled: not found",
        ),
        (
            {"containerStatuses": [waiting("ImagePullBackOff", 'Back-off pulling image "x": ErrImagePull: not found')]},
            "ImagePullBackOff", "image nowhere/api:1 cannot be pulled: not found",
        ),
        (
            {"containerStatuses": [waiting("CrashLoopBackOff", "back-off 40s", lastState=ended(1, message="no URL"))]},
            "CrashLoopBackOff", "exit code 1: no URL",
        ),
        (
            {"containerStatuses": [waiting("", lastState=ended(137, "OOMKilled"))]},
            "Restarting", "exit code 137 (OOMKilled)",
        ),
        (
            {"containerStatuses": [waiting("CreateContainerConfigError", 'secret "x" not found')]},
            "CreateContainerConfigError", 'secret "x" not found',
        ),
        ({"containerStatuses": [waiting("ContainerCreating")]}, "Starting", "is starting"),
        ({"phase": "Failed", "reason": "Evicted", "message": "disk"}, "Evicted", "disk"),
    ],
)  # fmt: skip
def test_the_real_reason_is_told(status: dict[str, Any], reason: str, words: str) -> None:
    found = problems.worst([pod(**status)])
    assert found is not None
    assert found.reason == reason
    assert words in found.message


def test_back_off_times_do_not_show_because_each_would_be_a_write() -> None:
    def told(delay: str) -> problems.Problem | None:
        status = waiting("CrashLoopBackOff", f"back-off {delay} restarting", lastState=ended(1))
        return problems.worst([pod(containerStatuses=[status])])

    assert told("10s") == told("5m0s")


def test_a_stated_cause_is_told_before_mere_starting() -> None:
    broken = pod("z", containerStatuses=[waiting("CrashLoopBackOff", lastState=ended(1))])
    found = problems.worst([pod("a"), broken, READY])
    assert found is not None
    assert found.reason == "CrashLoopBackOff"


def test_a_pod_that_is_stopping_says_so() -> None:
    going = {"metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": READY["status"]}
    found = problems.worst([going])
    assert found is not None
    assert found.reason == "Terminating"


def test_last_words_are_whole_lines_without_colours() -> None:
    log = f"{'x' * 400} telemetry\n\x1b[31mthe settings cannot be used:\x1b[m\n  DATABASE_URL: is not set\n"
    status = waiting("CrashLoopBackOff", lastState=ended(2, message=log))
    found = problems.worst([pod(containerStatuses=[status])])
    assert found is not None
    assert found.message.endswith("the settings cannot be used: / DATABASE_URL: is not set")


def test_a_message_is_never_longer_than_a_condition_should_be() -> None:
    status = waiting("CrashLoopBackOff", lastState=ended(2, message="y" * 5000))
    found = problems.worst([pod(containerStatuses=[status])])
    assert found is not None
    assert len(found.message) <= 300
