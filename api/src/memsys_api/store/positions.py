"""Where a reader of changes stands. Pure.

Changes are numbered when they are written and seen when they are committed, so a number alone is no position: a lower
one may still be under way. Readers therefore advance by snapshots, stretch by stretch. All transactions below a
snapshot's xmin have ended, so what they wrote is complete; a stretch is read in the order of the numbers, which for one
memory is the order of its versions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_FORM = re.compile(r"1-([0-9a-f]{1,32})-([0-9a-f]{1,16})-([0-9a-f]{1,16})-([0-9a-f]{1,16})")


@dataclass(frozen=True)
class Position:
    """Everything of transactions below ``low`` is behind; of those from there to below ``high``, up to ``id``."""

    epoch: str
    """The database and its timeline: numbers of transactions mean nothing in another."""
    low: int
    high: int
    id: int

    def __str__(self) -> str:
        return f"1-{self.epoch}-{self.low:x}-{self.high:x}-{self.id:x}"

    def after(self, change_id: int) -> Position:
        """With one more change of the same stretch behind."""
        return replace(self, id=change_id)

    def advanced(self, xmin: int) -> Position:
        """At the beginning of the next stretch, which ends where a newer snapshot's xmin is."""
        return replace(self, low=self.high, high=xmin, id=0)

    def missed(self, xid: int, change_id: int) -> bool:
        """Whether a change may be lost to this reader, where all up to these two have been forgotten."""
        return xid >= self.high or (xid >= self.low and change_id > self.id)


def parse(text: str) -> Position | None:
    """The position that a text names, or ``None``."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    low, high, change_id = (int(part, 16) for part in match.groups()[1:])
    return Position(match[1], low, high, change_id) if low <= high and change_id < 2**63 and high < 2**63 else None


@dataclass
class Watch:
    """Tells from looks at the database whether readers may find something new. Errs on the side of looking."""

    last: int = -1
    xmin: int = -1
    awaited: int = -1
    """When xmin has come this far, nothing that was seen begun is under way any more."""

    def look(self, last: int, xmin: int, xmax: int) -> bool:
        """Note the newest number given out and the snapshot; whether it is worth reading."""
        begun = last != self.last
        ended = xmin != self.xmin and self.xmin < self.awaited
        self.last, self.xmin = last, xmin
        if begun:
            self.awaited = xmax + 1  # a number may be given out just before its transaction has one itself
        return begun or ended
