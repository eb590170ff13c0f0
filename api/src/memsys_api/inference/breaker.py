"""When to leave a failing provider alone, and when to try it again: a circuit breaker as a pure state machine.

Closed: calls go through; too many failures in a row open it. Open: no call goes through until the pause is over.
Half-open: one call, the probe, goes through; its outcome closes the breaker or opens it for twice as long. A probe
that never reports back is taken for lost after ``probe_seconds``, and another may go.

Every call holds the ticket that it was let through with. A ticket from before the last change of state says nothing
about the provider now, and its outcome is ignored. Times are seconds of any clock that only goes forward.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Rules:
    failures: int = 5  # in a row, to open
    first_pause: float = 1.0
    longest_pause: float = 60.0  # a provider that names a longer one (retry-after) is obeyed up to ``most_obeyed``
    most_obeyed: float = 600.0
    probe_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Breaker:
    rules: Rules = Rules()
    state: Literal["closed", "open", "half-open"] = "closed"
    failures: int = 0
    pause: float = 0.0  # seconds of the present or last pause
    until: float = 0.0  # open: when the pause ends; half-open: when the probe is taken for lost
    ticket: int = 0  # changes with every change of state

    def acquire(self, now: float) -> tuple[Breaker, int | None]:
        """Ask to call at ``now``: the next state, and a ticket, or ``None`` when the call must not be made."""
        if self.state == "closed":
            return self, self.ticket
        if now < self.until:
            return self, None
        probing = replace(self, state="half-open", until=now + self.rules.probe_seconds, ticket=self.ticket + 1)
        return probing, probing.ticket

    def succeeded(self, ticket: int) -> Breaker:
        if ticket != self.ticket or self.state == "open":
            return self
        return Breaker(self.rules, ticket=self.ticket + (self.state != "closed"))

    def failed(self, ticket: int, now: float, *, retry_after: float | None = None) -> Breaker:
        """Count a failure. A provider that says when to come back opens the breaker at once."""
        if ticket != self.ticket or self.state == "open":
            return self
        failures = self.failures + 1
        if self.state == "closed" and failures < self.rules.failures and retry_after is None:
            return replace(self, failures=failures)
        pause = min(self.pause * 2 or self.rules.first_pause, self.rules.longest_pause)
        pause = max(pause, min(retry_after or 0.0, self.rules.most_obeyed))
        return replace(self, state="open", failures=failures, pause=pause, until=now + pause, ticket=self.ticket + 1)

    def abandoned(self, ticket: int, now: float) -> Breaker:
        """The call ended without an outcome (its caller left): another may probe at once."""
        if ticket != self.ticket or self.state != "half-open":
            return self
        return replace(self, state="open", until=now, ticket=self.ticket + 1)

    def seconds_left(self, now: float) -> float:
        """How long from ``now`` until a call may be let through; 0 when it may be now."""
        return 0.0 if self.state == "closed" else max(0.0, self.until - now)
