"""Why a pod is not ready, in words that say what to look at. Pure.

The texts are kept free of what changes from second to second (back-off times, restart counts), because every
new text is a write to the status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
#: Reasons of a pod that only needs its time.
PASSING = ("Starting", "Terminating")
_LONGEST = 300
#: How much of a container's last words is told.
_LAST_WORDS = 160
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
#: How servers mark the line that says why they end, the worst first; what stands before it, a date or a process
#: number, differs from start to start and is left out. Python's JSON log has no such marks.
_SEVERITIES = tuple(re.compile(rf"\b{mark}\s+(?=\S)") for mark in ("PANIC:", "FATAL:", "ERROR:?", "error:"))
#: What PostgreSQL answers to whoever asks while it starts or stops; not why it ended.
_BUSY = "the database system is "
#: What belongs to the line before it.
_HINT = re.compile(r"(?:^|\s)(HINT:.*)")
_CAUSE = "Caused by: "
#: Lines of PostgreSQL's and Neo4j's logs, and of stack traces, that never say why.
_ROUTINE = re.compile(r"(?:\S+ \S+ INFO|.*\] LOG:|at \S+\(|.*\) ~?\[\S+\]$|\.{3} \d+ more)")
_POD_NAME = re.compile(r'^pods "[^"]*" is ')


@dataclass(frozen=True, slots=True)
class Problem:
    reason: str
    message: str


def is_ready(pod: Mapping[str, Any]) -> bool:
    return not pod["metadata"].get("deletionTimestamp") and _condition(pod, "Ready").get("status") == "True"


def worst(pods: Sequence[Mapping[str, Any]]) -> Problem | None:
    """The most telling problem among pods that are not ready: a stated cause before mere starting."""
    found = [_problem(pod) for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])) if not is_ready(pod)]
    return min(found, key=lambda problem: problem.reason in PASSING, default=None)


def uncreated(workload: Mapping[str, Any]) -> Problem | None:
    """Why pods of a workload, fewer than it wants, do not even exist: a quota, a LimitRange or Pod Security refuses
    them. A Deployment says so; of a StatefulSet only the events do, which the operator has no right to read."""
    kind, name = workload["kind"], workload["metadata"]["name"]
    failure = _condition(workload, "ReplicaFailure")
    if failure.get("status") == "True":
        # Each try has another name.
        said = _POD_NAME.sub("", failure.get("message", ""))
        return Problem(failure.get("reason", "FailedCreate"), _cut(f"{kind} {name} cannot create pods: {said}"))
    if kind == "StatefulSet" and not workload.get("status", {}).get("replicas"):
        ask = f"kubectl -n {workload['metadata']['namespace']} describe statefulset {name}"
        return Problem("NotReady", f"{kind} {name} has no pod yet; if this lasts, a quota or policy refuses it: {ask}")
    return None


def _problem(pod: Mapping[str, Any]) -> Problem:
    name = pod["metadata"]["name"]
    status = pod.get("status", {})
    if pod["metadata"].get("deletionTimestamp"):
        return Problem("Terminating", f"pod {name} is stopping")
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return Problem(scheduled.get("reason", "Unschedulable"), _cut(f"pod {name}: {scheduled.get('message', '')}"))
    for container in status.get("containerStatuses", ()):
        if problem := _container_problem(name, container):
            return problem
    if status.get("phase") == "Failed":
        return Problem(status.get("reason", "Failed"), _cut(f"pod {name}: {status.get('message', 'has failed')}"))
    return Problem("Starting", f"pod {name} is starting")


def _container_problem(pod: str, container: Mapping[str, Any]) -> Problem | None:
    waiting = container.get("state", {}).get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _IMAGE_REASONS:
        detail = message.split("ErrImagePull: ", 1)[-1] or reason
        # The kubelet alternates between ErrImagePull and ImagePullBackOff; one word for both.
        settled = "ImagePullBackOff" if reason == "ErrImagePull" else reason
        return Problem(settled, _cut(f"pod {pod}: image {container.get('image')} cannot be pulled: {detail}"))
    ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated")
    if ended and not container.get("ready"):
        log = ended.get("message") or ""
        elsewhere = f"kubectl logs {pod} -c {container['name']} --previous says why" if log.strip() else ""
        said = _last_words(log) or elsewhere
        text = f"pod {pod}: container {container['name']} ended with exit code {ended.get('exitCode')}"
        if ended.get("reason") not in (None, "Error", "Completed"):
            text += f" ({ended['reason']})"
        return Problem(reason or "Restarting", _cut(f"{text}: {said}" if said else text))
    if reason and reason not in ("ContainerCreating", "PodInitializing"):
        return Problem(reason, _cut(f"pod {pod}: {message or reason}"))
    return None


def _condition(obj: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions: Sequence[Mapping[str, Any]] = obj.get("status", {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == kind), {})


def _last_words(log: str) -> str:
    """What a log says of its end: the first line of its worst severity with the hint or root cause that follows it;
    without one the last lines that fit, whole and without colours, of a longer last line its beginning. Empty where
    all of them are routine, as at the end of a stack trace that is longer than what is kept of a log."""
    lines = [line for raw in _ANSI.sub("", log).splitlines() if (line := " ".join(raw.split()))]
    for severity in _SEVERITIES:
        for at, line in enumerate(lines):
            if (mark := severity.search(line)) and not line.startswith(_BUSY, mark.end()):
                return " / ".join((line[mark.start() :], *_explained(lines[at + 1 :])))
    told: list[str] = []
    for line in reversed([line for line in lines if not _ROUTINE.match(line)]):
        if told and sum(map(len, told)) + len(told) + len(line) > _LAST_WORDS:
            break
        told.insert(0, line)
    return " / ".join(told)


def _explained(following: Sequence[str]) -> list[str]:
    """The hint right after an error, and the last cause of a stack trace, which is the first that happened."""
    hints = [hint[1] for line in following[:2] if (hint := _HINT.search(line))]
    causes = [line for line in following if line.startswith(_CAUSE)]
    return [*hints[:1], *causes[-1:]]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
