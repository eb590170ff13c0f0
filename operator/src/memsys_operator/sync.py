"""What the API says of its graph, and what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

#: Records younger than this are on their way, not behind.
GRACE_SECONDS = 60
_LAG_STEP = 10


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One memory that the graph holds otherwise than PostgreSQL does."""

    project: str
    memory_id: str


@dataclass(frozen=True, slots=True)
class Drift:
    """One comparison of what the graph really holds with PostgreSQL.

    ``samples`` names some of the ``count`` memories that differ; ``complete`` is False when there were more memories
    than one comparison reads. ``stuck`` tells that they differ still after they were applied again.
    """

    count: int = 0
    complete: bool = True
    samples: tuple[Difference, ...] = ()
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class SyncReport:
    """One look at ``/graph/status``. ``error`` is set when the API could not be asked at all.

    ``drift`` is the newest comparison, None before the first; ``compared`` tells that it was made in this look.
    """

    available: bool = False
    pending: int = 0
    parked: int = 0
    lag_seconds: int = 0
    last_error: str | None = None
    error: str | None = None
    drift: Drift | None = None
    compared: bool = field(default=False, compare=False)

    @property
    def due(self) -> bool:
        """Whether driving ``/graph/sync`` would help: something is parked and the graph answers."""
        return self.error is None and self.available and self.parked > 0


def read(body: Mapping[str, Any]) -> SyncReport:
    """The report in an answer of ``GET /graph/status``; the lag is rounded so that a quiet system stays quiet."""
    lag = float(body.get("lag_seconds") or 0)
    return SyncReport(
        available=bool(body.get("available")),
        pending=int(body.get("pending") or 0),
        parked=int(body.get("parked") or 0),
        lag_seconds=int(lag // _LAG_STEP) * _LAG_STEP,
        last_error=body.get("last_error") or None,
    )


def read_drift(body: Mapping[str, Any]) -> Drift:
    """The comparison in an answer of ``GET /graph/drift``."""
    return Drift(
        count=sum(int(body[kind]) for kind in ("missing", "stale", "unexpected")),
        complete=bool(body["complete"]),
        samples=tuple(sorted(Difference(str(one["project"]), str(one["memory_id"])) for one in body["samples"])),
    )


def confirmed(first: Drift, second: Drift) -> Drift:
    """What both of two comparisons found: a memory that is written while one runs differs in that one alone."""
    lasting = tuple(one for one in second.samples if one in first.samples)
    if not lasting:
        return replace(second, count=0, samples=())
    every_one_named = second.count == len(second.samples)
    return replace(second, count=len(lasting) if every_one_named else second.count, samples=lasting)


def compares(report: SyncReport, last: SyncReport | None, *, overdue: bool) -> bool:
    """Whether a look should compare both stores: when the last comparison is ``overdue`` or found what can be mended,
    at the start, and when the graph is back; never while it is away or has parked records to take first."""
    if report.error is not None or not report.available or report.parked:
        return False
    recovered = last is not None and (last.error is not None or not last.available)
    if overdue or recovered or last is None or last.drift is None:
        return True
    return last.drift.count > 0 and not last.drift.stuck


def failed(error: str) -> SyncReport:
    return SyncReport(error=error)
