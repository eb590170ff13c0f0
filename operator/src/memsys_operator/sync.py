"""What the API says of its graph, and what follows from it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

#: Records younger than this are on their way, not behind.
GRACE_SECONDS = 60
_LAG_STEP = 10
#: How old the date of the last full cycle may become in a status that has nothing else to say.
_DATED_SECONDS = 3600
#: In the API's words for a graph that refuses its login.
REFUSED = "refused user"


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One memory that the graph holds otherwise than PostgreSQL does; without an id, what no memory supports."""

    project: str
    memory_id: str


@dataclass(frozen=True, slots=True)
class Drift:
    """One comparison of some ranges of what the graph really holds with PostgreSQL.

    ``samples`` names some of the ``count`` differences; ``cursor`` is where the ranges ended, None at the very end.
    """

    count: int = 0
    samples: tuple[Difference, ...] = ()
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """Where the comparison of everything stands: some ranges at each look, from beginning to end, again and again.

    A walk leaves a place only when nothing differs there any more, or what differs cannot be mended. So whoever goes
    on from ``cursor`` after a restart finds again what was not mended yet. Times are seconds since the epoch.
    """

    cursor: str | None = None
    started: int | None = None
    finished: int | None = None
    cycle_seconds: int | None = None
    """From the beginning of a full cycle to that of the next: within it every memory is compared once."""
    stuck: int = 0
    """What the last full cycle could not mend."""
    stuck_so_far: int = 0

    @property
    def unmended(self) -> int:
        """How much is known to differ still after it was applied again."""
        return max(self.stuck, self.stuck_so_far)

    def due(self, now: int, interval: int) -> bool:
        """Whether there is something to compare: in the middle of a cycle always."""
        return self.cursor is not None or self.started is None or now - self.started >= interval

    def begun(self, now: int) -> Walk:
        """The walk before its next step: a new cycle's, when the last has ended."""
        return self if self.cursor is not None else replace(self, started=now, stuck_so_far=0)

    def stepped(self, cursor: str | None, stuck: int, now: int, interval: int) -> Walk:
        """The walk after a step that ended at ``cursor`` and left so many differences that cannot be mended."""
        so_far = self.stuck_so_far + stuck
        if cursor is not None:
            return replace(self, cursor=cursor, stuck_so_far=so_far)
        took = now - (self.started if self.started is not None else now)
        length = max(interval, math.ceil(took / _LAG_STEP) * _LAG_STEP)
        return replace(self, cursor=None, finished=now, cycle_seconds=length, stuck=so_far, stuck_so_far=so_far)


@dataclass(frozen=True, slots=True)
class SyncReport:
    """One look at ``/graph/status``. ``error`` is set when the API could not be asked at all.

    ``drift`` is what was found at the place where ``walk`` stands, None before the first comparison; ``uncompared``
    why a comparison that was due did not come about.
    """

    available: bool = False
    pending: int = 0
    parked: int = 0
    lag_seconds: int = 0
    last_error: str | None = None
    error: str | None = None
    drift: Drift | None = None
    walk: Walk = Walk()
    uncompared: str | None = None

    @property
    def due(self) -> bool:
        """Whether driving ``/graph/sync`` would help: something is parked and the graph answers."""
        return self.error is None and self.available and self.parked > 0

    @property
    def login_refused(self) -> bool:
        """Whether the graph answers, but not to the credentials that the API has."""
        return not self.available and REFUSED in (self.last_error or "")


def read(body: Mapping[str, Any]) -> SyncReport:
    """The report in an answer of ``GET /graph/status``; the lag is rounded so that a quiet system stays quiet."""
    lag = float(body.get("lag_seconds") or 0)
    # The spec asks for a graph, or nobody would ask for its status.
    without = "the API still runs without a graph; its newest pods are not ready yet"
    return SyncReport(
        available=bool(body.get("available")),
        pending=int(body.get("pending") or 0),
        parked=int(body.get("parked") or 0),
        lag_seconds=int(lag // _LAG_STEP) * _LAG_STEP,
        last_error=body.get("last_error") or None,
        uncompared=without if body.get("provider") == "none" else None,
    )


def read_drift(body: Mapping[str, Any]) -> Drift:
    """The comparison in an answer of ``GET /graph/drift``."""
    cursor = body["cursor"]
    return Drift(
        count=sum(int(body[kind]) for kind in ("missing", "stale", "unexpected", "strays")),
        samples=tuple(sorted(Difference(str(one["project"]), str(one["memory_id"] or "")) for one in body["samples"])),
        cursor=None if cursor is None else str(cursor),
    )


def confirmed(first: Drift, second: Drift) -> Drift:
    """What both of two comparisons found: a memory that is written while one runs differs in that one alone."""
    lasting = tuple(one for one in second.samples if one in first.samples)
    if not lasting:
        return replace(second, count=0, samples=())
    every_one_named = second.count == len(second.samples)
    return replace(second, count=len(lasting) if every_one_named else second.count, samples=lasting)


def compares(report: SyncReport, last: SyncReport | None, *, now: int, interval: int) -> bool:
    """Whether a look should compare: where the walk is due or differences wait to be mended, when the graph is back,
    and when the look before could not; never while it is away. What is parked is no difference, and one that stays so
    holds no comparison back."""
    if report.error is not None or not report.available:
        return False
    recovered = last is not None and (last.error is not None or last.uncompared is not None or not last.available)
    waiting = report.drift is not None and bool(report.drift.samples)
    return recovered or waiting or report.walk.due(now, interval)


def failed(error: str, walk: Walk) -> SyncReport:
    """The report of an API that could not be asked; the walk waits where it is."""
    return SyncReport(error=error, walk=walk)


def restored(status: Mapping[str, Any]) -> Walk:
    """The walk as ``status.sync`` tells of it: where an operator that was restarted goes on."""
    return Walk(
        cursor=status.get("driftCursor"),
        started=_seconds(status.get("driftCycleStarted")),
        finished=_seconds(status.get("lastFullCycle")),
        cycle_seconds=status.get("driftCycleSeconds"),
        stuck=status.get("unmendable", 0),
    )


def written(walk: Walk) -> dict[str, Any]:
    """The walk as :func:`restored` reads it."""
    fields = {
        "driftCursor": walk.cursor,
        "driftCycleStarted": _time(walk.started) if walk.cursor is not None else None,
        "driftCycleSeconds": walk.cycle_seconds,
        "lastFullCycle": _time(walk.finished),
        "unmendable": walk.unmended or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def section(report: SyncReport, before: Mapping[str, Any], now: str) -> dict[str, Any]:
    """``status.sync`` after a look, where ``before`` was what it said. It is dated ``now`` only where a number changed,
    so that a quiet system costs no writes."""
    numbers: dict[str, Any] = {"pending": report.pending, "parked": report.parked, "lagSeconds": report.lag_seconds}
    numbers |= written(_dated_seldom(report.walk, restored(before)))
    if report.drift is not None:
        numbers["drifted"] = report.drift.count + report.walk.unmended
    elif "drifted" in before:
        numbers["drifted"] = before["drifted"]
    unchanged = all(before.get(name) == value for name, value in numbers.items())
    return {**numbers, "lastChecked": before["lastChecked"] if unchanged and "lastChecked" in before else now}


def _dated_seldom(walk: Walk, before: Walk) -> Walk:
    """The walk with the last date that was written, while that is recent."""
    if walk.finished is None or before.finished is None or walk.finished - before.finished >= _DATED_SECONDS:
        return walk
    return replace(walk, finished=before.finished)


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(time: str | None) -> int | None:
    return None if time is None else int(datetime.fromisoformat(time).timestamp())
