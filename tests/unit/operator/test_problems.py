from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


#: What PostgreSQL and Neo4j really wrote before they ended, and what of it a person needs.
ENDS = {
    "a setting that PostgreSQL does not take": (
        """2026-11-21 18:03:10.869 GMT [{n}] FATAL:  invalid value for parameter "shared_buffers": "900TB"
2026-11-21 18:03:10.869 GMT [{n}] HINT:  Value exceeds integer range.""",
        'FATAL: invalid value for parameter "shared_buffers": "900TB" / HINT: Value exceeds integer range.',
    ),
    "settings that contradict each other": (
        'postgres: "superuser_reserved_connections" (3) must be less than "max_connections" (3)',
        'postgres: "superuser_reserved_connections" (3) must be less than "max_connections" (3)',
    ),
    "a full volume found in crash recovery": (
        """2026-11-21 18:07:47.767 UTC [{n}] LOG:  database system was not properly shut down; automatic recovery
2026-11-21 18:07:47.786 UTC [16406] FATAL:  the database system is not yet accepting connections
2026-11-21 18:07:47.786 UTC [16406] DETAIL:  Consistent recovery state has not been yet reached.
2026-11-21 18:07:47.895 UTC [16409] FATAL:  the database system is starting up
2026-11-21 18:07:48.7 UTC [{n}] FATAL:  could not extend file "base/5/16384": No space left on device
2026-11-21 18:07:48.7 UTC [{n}] HINT:  Check free disk space.
2026-11-21 18:07:48.7 UTC [{n}] CONTEXT:  WAL redo at 0/3BC18D8 for Heap/INSERT
2026-11-21 18:07:48.8 UTC [1] LOG:  startup process (PID {n}) exited with exit code 1
2026-11-21 18:07:48.8 UTC [1] LOG:  aborting startup due to startup process failure
2026-11-21 18:07:48.8 UTC [1] LOG:  database system is shut down""",
        'FATAL: could not extend file "base/5/16384": No space left on device / HINT: Check free disk space.',
    ),
    "a full volume found by the first session": (
        """2026-11-21 18:07:48.664 UTC [1] LOG:  database system is ready to accept connections
2026-11-21 18:07:48.727 UTC [{n}] FATAL:  could not write init file: No space left on device
psql: error: connection to server failed: FATAL:  could not write init file: No space left on device""",
        "FATAL: could not write init file: No space left on device",
    ),
    "a page cache that is larger than the machine": (
        """memsys-neo4j: starting Neo4j
2026-11-21 18:03:28.009+0000 INFO  Logging config in use: File '/run/neo4j/conf/user-logs.xml'
2026-11-21 18:03:28.092+0000 ERROR Invalid memory configuration - exceeds physical memory. Check the configured values
2026-11-21 18:03:28.094+0000 INFO  Neo4j Server shutdown initiated by request
2026-11-21 18:03:28.094+0000 INFO  Stopped.""",
        "ERROR Invalid memory configuration - exceeds physical memory. Check the configured values",
    ),
    "a stack trace": (
        """2026-11-21 18:06:05.332+0000 ERROR Failed to start Neo4j on 0.0.0.0:7474.
java.lang.RuntimeException: Error starting Neo4j database server at /var/lib/memsys/data/databases
\tat org.neo4j.graphdb.facade.Factory.startDatabaseServer(Factory.java:293) ~[neo4j.jar:5.26.19]
Caused by: org.neo4j.kernel.lifecycle.LifecycleException: Component was initialized, but failed to start.
\t... 5 more
Caused by: java.io.IOException: No space left on device
\t... 5 more
2026-11-21 18:06:05.346+0000 INFO  Stopped.""",
        "ERROR Failed to start Neo4j on 0.0.0.0:7474. / Caused by: java.io.IOException: No space left on device",
    ),
    "the end of a long stack trace": (
        """cateFile(TransactionLogChannelAllocator.java:187) ~[neo4j-kernel-5.26.19.jar:5.26.19]
\tat org.neo4j.kernel.lifecycle.LifeSupport.start(LifeSupport.java:91) ~[neo4j-common-5.26.19.jar:5.26.19]
\t... 5 more
2026-11-21 18:06:05.346+0000 INFO  Stopped.""",
        "kubectl logs m-api-1 -c api --previous says why",
    ),
}


def said_of(log: str) -> str:
    found = problems.worst([pod(containerStatuses=[waiting("CrashLoopBackOff", lastState=ended(1, message=log))])])
    assert found is not None
    return found.message


@pytest.mark.parametrize("case", ENDS)
def test_why_a_server_ended_is_told_and_not_what_it_did_around_that(case: str) -> None:
    log, told = ENDS[case]
    assert said_of(log.format(n=31)).endswith(f"exit code 1: {told}")


@pytest.mark.parametrize("case", ENDS)
def test_the_next_start_that_ends_so_says_the_same_because_each_difference_would_be_a_write(case: str) -> None:
    log, _ = ENDS[case]
    assert said_of(log.format(n=31)) == said_of(log.format(n=77).replace("2026-11-21 18:0", "2026-11-22 03:1"))


ROUTINE = st.sampled_from(
    [
        "2026-11-21 18:07:48.8 UTC [1] LOG:  database system is shut down",
        "2026-11-21 18:07:47.8 UTC [9] FATAL:  the database system is in recovery mode",
        "2026-11-21 18:06:05.3+0000 INFO  Stopped.",
        "\tat org.neo4j.Some.thing(Some.java:1) ~[some.jar:5]",
    ]
)


@given(before=st.lists(ROUTINE, max_size=8), after=st.lists(ROUTINE, max_size=8))
def test_what_is_logged_around_an_error_never_hides_it(before: list[str], after: list[str]) -> None:
    log = "\n".join([*before, "2026-11-21 18:07:48.8 UTC [1] PANIC:  could not write to file", *after])
    assert said_of(log).endswith("PANIC: could not write to file")


def test_a_message_is_never_longer_than_a_condition_should_be() -> None:
    status = waiting("CrashLoopBackOff", lastState=ended(2, message="y" * 5000))
    found = problems.worst([pod(containerStatuses=[status])])
    assert found is not None
    assert len(found.message) <= 300
