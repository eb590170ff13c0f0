"""Rate limits that hold for all replicas together.

A limit of N a minute is a token bucket in PostgreSQL that fills at N/60 a second and holds a twelfth of N, so that no
minute sees more than N + N/12. A replica leases tokens in batches worth a quarter of a second at most, growing from one
as they are used up, and puts back what it has not used after a second: few requests cost a round trip, and nothing
that one replica holds is missing at another for long.

When PostgreSQL cannot be asked, each replica keeps the limit by itself, for a second at a time: limits must not take
the service down.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from memsys_api import metrics
from memsys_api.causes import in_one_line
from memsys_api.store import rates
from memsys_api.store.database import Database, DatabaseUnavailable, StatementTimeout

log = logging.getLogger(__name__)

_BURST_SHARE = 1 / 12
_BATCH_SECONDS = 0.25
_LEASE_SECONDS = 1.0
_PATIENCE_SECONDS = 0.5
_REMEMBERED = 10_000


@dataclass(frozen=True)
class Verdict:
    """Whether a request may go on, and what to tell its maker."""

    per_minute: int
    allowed: bool
    remaining: int
    seconds: float
    """Refused: until a token is there. Allowed: until the bucket is full."""

    def headers(self) -> dict[str, str]:
        """``RateLimit-Policy`` and ``RateLimit`` of draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit-Policy": f'"key";q={self.per_minute};w=60',
            "RateLimit": f'"key";r={self.remaining};t={math.ceil(self.seconds)}',
        }


@dataclass
class _Lease:
    """What a replica holds of one bucket."""

    tokens: int = 0
    size: int = 1
    ends: float = 0.0
    left: float = 0.0
    refused_until: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class RateLimits:
    """Takes a token for each request."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._leases: OrderedDict[str, _Lease] = OrderedDict()

    async def take(self, bucket: str, per_minute: int) -> Verdict:
        """Take one token of a bucket with so many a minute. Raises nothing of the database's."""
        lease = self._leases.setdefault(bucket, _Lease())
        self._leases.move_to_end(bucket)
        if len(self._leases) > _REMEMBERED:
            self._leases.popitem(last=False)
        if verdict := self._at_hand(lease, per_minute):
            return verdict
        async with lease.lock:
            # Those who waited for the same lease find it here.
            if verdict := self._at_hand(lease, per_minute):
                return verdict
            await self._renew(lease, bucket, per_minute)
            return self._at_hand(lease, per_minute) or self._refusal(lease, per_minute)

    def _at_hand(self, lease: _Lease, per_minute: int) -> Verdict | None:
        """The answer without asking the database, if there is one."""
        now = self._clock()
        if lease.tokens > 0 and now < lease.ends:
            lease.tokens -= 1
            left = lease.left + lease.tokens
            return Verdict(per_minute, True, int(left), (_burst(per_minute) - left) * 60 / per_minute)
        return self._refusal(lease, per_minute) if now < lease.refused_until else None

    def _refusal(self, lease: _Lease, per_minute: int) -> Verdict:
        return Verdict(per_minute, False, 0, max(lease.refused_until - self._clock(), 0.0))

    async def _renew(self, lease: _Lease, bucket: str, per_minute: int) -> None:
        """Lease a batch: larger when the last was used up in time, smaller when it was not."""
        now = self._clock()
        per_second = per_minute / 60
        most = max(1, int(per_second * _BATCH_SECONDS))
        used_up = lease.tokens == 0 and now < lease.ends
        lease.size = min(most, lease.size * 2 if used_up else max(1, lease.size // 2))
        returned, lease.tokens = lease.tokens, 0
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                leased = await rates.lease(
                    self._database,
                    bucket,
                    per_second=per_second,
                    burst=_burst(per_minute),
                    wanted=lease.size,
                    returned=returned,
                )
        except (DatabaseUnavailable, StatementTimeout, TimeoutError) as error:
            metrics.RATE_LIMIT_BLIND.inc()
            log.warning("rate limit kept by this replica alone", extra={"reason": in_one_line(error)})
            lease.tokens, lease.left = max(1, int(per_second)), 0.0
            lease.ends = lease.refused_until = self._clock() + _LEASE_SECONDS
            return
        lease.tokens, lease.left = leased.granted, leased.left
        now = self._clock()
        lease.ends = now + _LEASE_SECONDS
        # A limit may be raised meanwhile: a refusal is looked at again after a second at the latest.
        lease.refused_until = 0.0 if leased.granted else now + (1 - leased.left) / per_second


def _burst(per_minute: int) -> float:
    return max(1.0, per_minute * _BURST_SHARE)
