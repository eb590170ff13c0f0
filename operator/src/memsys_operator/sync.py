"""What the API says of its graph, and what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Records younger than this are on their way, not behind.
GRACE_SECONDS = 60
_LAG_STEP = 10


@dataclass(frozen=True, slots=True)
class SyncReport:
    """One look at ``/graph/status``. ``error`` is set when the API could not be asked at all."""

    available: bool = False
    pending: int = 0
    parked: int = 0
    lag_seconds: int = 0
    last_error: str | None = None
    error: str | None = None

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


def failed(error: str) -> SyncReport:
    return SyncReport(error=error)
