"""What an import has to do for the lines at hand, given what is stored already. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from memsys_api.model import Scope
from memsys_api.quarantine.detect import Finding, kinds
from memsys_api.schemas.export import FeedbackLine, VersionLine

_UNDATED = datetime.max.replace(tzinfo=UTC)
"""Given at the time of the import, and so later than any other."""


class Known(NamedTuple):
    """A stored version, as far as an import has to know it."""

    scope: Scope
    state: str
    hash: str
    recorded_from: datetime
    head: bool


class Incoming(NamedTuple):
    """A line of the file, with the scope it will stand in and the hash of its text."""

    number: int
    scope: Scope
    hash: str
    line: VersionLine
    suspect: Sequence[Finding] = ()
    """Why it is not to be written, though it could be."""

    @property
    def begun(self) -> datetime | None:
        """When its memory was first recorded, as far as the line says."""
        return self.line.created_at or self.line.recorded_from


class Refusal(NamedTuple):
    """A line that cannot be imported, and why."""

    number: int
    field: str
    message: str


@dataclass
class Plan:
    """What is to be written, what is suspect, what is there, what cannot be written, and what was said of it."""

    at: datetime
    """When it was made, by the database's clock: nothing is recorded later."""
    fresh: list[Incoming] = field(default_factory=list)
    suspect: list[Incoming] = field(default_factory=list)
    unchanged: int = 0
    refused: list[Refusal] = field(default_factory=list)
    judged: dict[UUID, Incoming] = field(default_factory=dict)
    """The lines, fresh or not, whose feedback is to be kept, by their memories."""


def plan(
    known: Mapping[UUID, Mapping[int, Known]],
    given: Mapping[UUID, datetime],
    incoming: Sequence[Incoming],
    at: datetime,
) -> Plan:
    """Sort the lines out. ``known`` holds, of each memory, the versions that the lines name and the newest.

    ``given`` says when the memories were judged that are here.
    """
    done = Plan(at)
    last = dict(given)
    kept_back: set[UUID] = set()
    newest: dict[UUID, tuple[int, Known | Incoming]] = {}
    for memory_id, versions in known.items():
        newest[memory_id] = max(versions.items())
    for one in incoming:
        line = one.line
        there = known.get(line.id, {}).get(line.version)
        if there is not None:
            if not _same(there, one):
                done.refused.append(Refusal(one.number, "id", "is here already, and says something else"))
                continue
            done.unchanged += 1
            if _newer(line.feedback, last.get(line.id)):
                suspect = [finding for finding in one.suspect if finding.field.startswith("feedback.")]
                if suspect:  # the line cannot be held any more, and words beside memories never are
                    what = f"looks like {', '.join(kinds(suspect))}, which this project's policy does not let in"
                    done.refused.append(Refusal(one.number, suspect[0].field, what))
                else:
                    _judge(done, one, last)
            continue
        number, before = newest.get(line.id, (0, None))
        if line.id in kept_back:
            done.refused.append(
                Refusal(
                    one.number,
                    "version",
                    "follows one that is held or refused; import the file again when that is settled",
                )
            )
            continue
        if refusal := _refusal(one, number, before, at):
            done.refused.append(refusal)
            continue
        if one.suspect:
            done.suspect.append(one)
            kept_back.add(line.id)
            continue
        newest[line.id] = line.version, one
        done.fresh.append(one)
        if _newer(line.feedback, last.get(line.id)):
            _judge(done, one, last)
    return done


def _newer(word: FeedbackLine | None, last: datetime | None) -> bool:
    if word is None or last is None:
        return word is not None
    return word.given_at is not None and word.given_at > last


def _judge(done: Plan, one: Incoming, last: dict[UUID, datetime]) -> None:
    assert one.line.feedback is not None
    done.judged[one.line.id] = one
    last[one.line.id] = one.line.feedback.given_at or _UNDATED


def _same(there: Known, one: Incoming) -> bool:
    recorded = one.line.recorded_from
    return (there.scope, there.state, there.hash) == (one.scope, one.line.state, one.hash) and recorded in (
        None,
        there.recorded_from,
    )


def _refusal(one: Incoming, number: int, before: Known | Incoming | None, at: datetime) -> Refusal | None:
    line = one.line
    # An erasure takes what was recorded by the time of its request; what is here must not say that it is still to be.
    for name, recorded in (("created_at", line.created_at), ("recorded_from", line.recorded_from)):
        if recorded is not None and recorded > at:
            clock = at.isoformat(timespec="seconds")
            what = f"lies in the future of this server, where it is {clock}; correct it, or import the file again later"
            return Refusal(one.number, name, what)
    if line.version != number + 1:
        return Refusal(one.number, "version", f"must be {number + 1}, the one after the last; lines may be missing")
    if before is None:
        return None
    if before.scope != one.scope:
        return Refusal(one.number, "id", "is a memory of another user, agent, app or run")
    recorded = before.recorded_from if isinstance(before, Known) else before.line.recorded_from
    if recorded is None or line.recorded_from is None or line.recorded_from <= recorded:
        return Refusal(one.number, "recorded_from", "must be later than that of the version before, and both be given")
    return None


def ends(fresh: Iterable[Incoming]) -> dict[tuple[UUID, int], datetime]:
    """When the versions before these ended: with the one that follows."""
    return {
        (one.line.id, one.line.version - 1): one.line.recorded_from
        for one in fresh
        if one.line.version > 1 and one.line.recorded_from is not None
    }
