"""The flow of an import: line by line, committed batch by batch, so that one that breaks off is simply run again."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import orjson

from memsys_api.flows.drafts import Draft, finished, text_hash, thread_of
from memsys_api.model import Entity, Extraction, Outcome, Relation, Scope
from memsys_api.ports import Embedder
from memsys_api.problems import CONFLICT, ProblemError, invalid
from memsys_api.quarantine.detect import kinds, texts_of
from memsys_api.quarantine.gate import Gate
from memsys_api.schemas.export import End, VersionLine
from memsys_api.store import archive, audit, erasures, feedback, versions
from memsys_api.store.archive import Imported
from memsys_api.store.contents import NewVersion
from memsys_api.store.database import Connection, Database
from memsys_api.store.erasures import Recorded
from memsys_api.store.feedback import Feedback
from memsys_api.store.generations import Generation
from memsys_api.store.held import Held, Kept, Release
from memsys_api.store.outbox import Outbox
from memsys_api.transfer import lines
from memsys_api.transfer.plan import Incoming, Known, Plan, Refusal, ends, plan

_BATCH_LINES = 200
_BATCH_BYTES = 1024 * 1024
_ERRORS_SHOWN = 100
_LINES = UUID("c5b8a1d2-0a67-4f0a-9a34-7d1e7c20f5e6")
_REMEMBERED = {"memory", "role", "speaker", "metadata", "provenance", "entities", "relations", "feedback"}

ScopeOf = Callable[[VersionLine], Scope]
"""Where a line is to stand. Raises a ``forbidden`` problem outside of what the key grants."""


@dataclass
class Report:
    """What became of the lines so far."""

    imported: int = 0
    unchanged: int = 0
    feedback: int = 0
    erased: int = 0
    held: int = 0
    failed: int = 0
    complete: bool = False
    errors: list[dict[str, object]] = field(default_factory=list)

    def refuse(self, number: int, field: str | None, message: str) -> None:
        """Count a line that was not imported."""
        self.failed += 1
        self._note(number, field, message)

    def leave_out(self, number: int, erasure: UUID) -> None:
        """Count a line that says what was erased here."""
        self.erased += 1
        self._note(number, "id", f"was erased here, by {erasure}; with erased=true it is brought back")

    def keep_back(self, one: Incoming, review: Held | None) -> None:
        """Count a suspect line that is held for review, or (``None``) refused."""
        first = one.suspect[0]
        what = f"looks like {', '.join(kinds(one.suspect))}"
        if review is None:
            self.refuse(one.number, first.field, f"{what}, which this project's policy does not let in")
        elif review.state == "rejected":
            self.failed += 1
            self._note(one.number, first.field, f"{what}; it was held for review, and rejected", review.id)
        else:
            self.held += 1
            self._note(one.number, first.field, f"{what}; it is held for review", review.id)

    def _note(self, number: int, field: str | None, message: str, review: UUID | None = None) -> None:
        if len(self.errors) < _ERRORS_SHOWN:
            found: dict[str, object] = {"line": number, "field": field, "message": message}
            self.errors.append(found | ({"review_id": review} if review else {}))


class Importing:
    """Writes what other servers, or this one, have recorded."""

    def __init__(
        self,
        database: Database,
        generation: Generation,
        embedder: Embedder,
        outbox: Outbox,
        gate: Gate,
    ) -> None:
        self._database = database
        self._generation = generation
        self._embedder = embedder
        self._outbox = outbox
        self._gate = gate

    async def run(
        self,
        project: str,
        chunks: AsyncIterable[bytes],
        *,
        scope_of: ScopeOf,
        longest: int,
        actor: str,
        check: Callable[[], Awaitable[None]],
        progress: Callable[[], None],
        bring_back: bool = False,
    ) -> Report:
        """Import a file as its bytes arrive; lines of more than ``longest`` bytes fail, as others do, on their own.

        What was erased here is left out, or with ``bring_back`` written and audited. What is suspect is held for
        review or refused, line by line, as the project's policy says.

        Raises an ``invalid-request`` problem when the first line is not that of an export, and what the database, the
        embedder and ``check``, which is asked before each batch, raise: then what was committed stays, and the same
        file again goes on from there. ``progress`` is told after each batch.
        """
        report, begun, seen = Report(), False, 0
        batch: list[Incoming] = []
        size = 0
        async for line in lines.split(chunks, longest):
            try:
                if not begun:
                    lines.header(line.content)
                    begun = True
                    continue
                report.complete = False
                body = lines.body(line.content)
                if isinstance(body, End):
                    report.complete = body.versions == seen
                    continue
                seen += 1
                batch.append(_incoming(line.number, scope_of(body), body))
            except lines.Unreadable as error:
                if not begun:
                    raise invalid(f"line {line.number}", f"is not the first line of an export: {error}") from error
                seen += 1
                report.refuse(line.number, error.field, error.message)
            except ProblemError as error:
                first = error.errors[0]
                report.refuse(line.number, first.field, first.message)
            size += len(line.content or b"")
            if len(batch) >= _BATCH_LINES or size >= _BATCH_BYTES:
                await check()
                await self._write(project, await self._looked_at(project, batch), report, actor, bring_back)
                progress()
                batch, size = [], 0
        if not begun:
            raise invalid("body", "is empty; send the lines of an export")
        await check()
        await self._write(project, await self._looked_at(project, batch), report, actor, bring_back)
        return report

    async def _looked_at(self, project: str, batch: Sequence[Incoming]) -> list[Incoming]:
        """A batch, each line with what the project's policy does not let in of it."""
        found = await self._gate.stopped_of_each(project, [texts_of(_words(one.line)) for one in batch])
        return [one._replace(suspect=suspect) for one, suspect in zip(batch, found, strict=True)]

    async def _write(
        self,
        project: str,
        batch: Sequence[Incoming],
        report: Report,
        actor: str,
        bring_back: bool,
        settle: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:
        """Write a batch in one transaction, and count it; where all of it is here then, ``settle`` ends that."""
        if not batch:
            return
        ready: dict[tuple[UUID, int], NewVersion] = {}
        while True:  # another round means that what was there was taken away meanwhile
            async with self._database.transaction(project) as conn:
                first, _ = await self._plan(conn, project, batch, bring_back)
            ready |= await self._finished(project, [one for one in first.fresh if _place(one) not in ready], actor)
            async with self._database.transaction(project) as conn:
                await archive.alone(conn, project)
                await versions.lock(conn, Scope(project), [one.line.id for one in batch])
                final, erased = await self._plan(conn, project, batch, bring_back)
                if any(_place(one) not in ready for one in final.fresh):
                    continue
                if final.fresh:
                    await versions.ensure_project(conn, project)
                    await self._insert(conn, project, final, ready)
                if bring_back:
                    back = Counter(erased[one.number] for one in final.fresh if one.number in erased)
                    for erasure, count in back.items():
                        await audit.record(conn, project, "erasure.overridden", erasure, versions=count)
                if final.judged:
                    words = {i: _judgement(one, actor) for i, one in final.judged.items()}
                    await feedback.restore(conn, project, words)
                reviews = await self._hold(conn, final.suspect, actor)
                if settle is not None and len(final.fresh) + final.unchanged == len(batch):
                    await settle(conn)
            break
        report.imported += len(final.fresh)
        report.unchanged += final.unchanged
        report.feedback += len(final.judged)
        for one in final.suspect:
            report.keep_back(one, reviews.get(one.number))
        for refusal in final.refused:
            report.refuse(*refusal)
        if not bring_back:
            for number, erasure in erased.items():
                report.leave_out(number, erasure)
        if final.fresh:
            self._outbox.wake()

    async def release(self, release: Release) -> None:
        """Write a line that was held. Raises a ``version-conflict`` problem where it does not fit (any more)."""
        review = release.review
        line = VersionLine.model_validate(review.request)
        outcome = Outcome(line.id, line.memory, "ADD" if line.version == 1 else "UPDATE", line.version)
        report = Report()
        one = _incoming(1, review.scope, line)
        await self._write(
            review.scope.project,
            [one],
            report,
            review.actor,
            bring_back=False,
            settle=partial(release.settle, outcomes=[outcome]),
        )
        if report.errors:
            found = report.errors[0]
            raise ProblemError(CONFLICT, f"the line cannot be imported: {found['field']}: {found['message']}")

    async def _hold(self, conn: Connection, suspect: Sequence[Incoming], actor: str) -> dict[int, Held]:
        """Keep suspect lines for review, by their numbers; the same line of the same file once. None where refused."""
        reviews: dict[int, Held] = {}
        for one in suspect:
            if await self._gate.mode(one.scope.project) != "hold":
                break
            line = one.line.model_dump(mode="json", exclude_unset=True)
            review = uuid5(_LINES, f"{one.scope.project}\x1f{orjson.dumps(line, option=orjson.OPT_SORT_KEYS).decode()}")
            write = Kept(kind="import", scope=one.scope, request=line, actor=actor, memory_id=one.line.id)
            reviews[one.number] = await self._gate.hold(conn, write, one.suspect, review)
        return reviews

    async def _plan(
        self, conn: Connection, project: str, batch: Sequence[Incoming], bring_back: bool
    ) -> tuple[Plan, dict[int, UUID]]:
        """What is to be done, and which lines that are not here (by number) say what which erasure took."""
        known: dict[UUID, dict[int, Known]] = {}
        for one in await archive.stored(conn, project, [_place(one) for one in batch]):
            known.setdefault(one.id, {})[one.version] = Known(
                one.scope, one.state, one.hash, one.recorded_from, one.head
            )
        new = [one for one in batch if one.line.version not in known.get(one.line.id, {})]
        covering = await erasures.covering(conn, project, [Recorded(one.line.id, one.scope, one.begun) for one in new])
        erased = {one.number: by for one, by in zip(new, covering, strict=True) if by is not None}
        given = await feedback.newest(conn, project, [one.line.id for one in batch if one.line.feedback])
        taking = await erasures.taking(conn, project, [one.line.id for one in batch])
        wanted = [one for one in batch if one.line.id not in taking and (bring_back or one.number not in erased)]
        final = plan(known, given, wanted, await archive.clock(conn))
        # It could not come to its end: the sinks would not be told of the deletion any more.
        final.refused.extend(
            Refusal(each.number, "id", f"is being erased here, by {by}; import it again when that is done")
            for each in batch
            if (by := taking.get(each.line.id)) is not None and (bring_back or each.number not in erased)
        )
        return final, erased

    async def _finished(
        self, project: str, fresh: Sequence[Incoming], actor: str
    ) -> dict[tuple[UUID, int], NewVersion]:
        """What is to be written of these lines: embedded anew, and read for entities where the file has none."""
        active = [one for one in fresh if one.line.state == "active"]
        drafts = [_draft(one, actor) for one in active]
        made = await finished(self._embedder, drafts, mark=await self._gate.marks(project))
        ready = dict(zip(map(_place, active), made, strict=True))
        return ready | {_place(one): _buried(one) for one in fresh if one.line.state == "deleted"}

    async def _insert(
        self, conn: Connection, project: str, final: Plan, ready: Mapping[tuple[UUID, int], NewVersion]
    ) -> None:
        now, fresh, ended = final.at, final.fresh, ends(final.fresh)
        places = await _places(conn, project, fresh)
        written = [
            Imported(
                new=ready[_place(one)],
                version=one.line.version,
                scope=one.scope,
                state=one.line.state,
                thread=places[one.number][0],
                turn=places[one.number][1],
                created_at=one.line.created_at or one.line.recorded_from or now,
                recorded_from=one.line.recorded_from or one.line.created_at or now,
                recorded_to=ended.get(_place(one)),
            )
            for one in fresh
        ]
        await archive.insert(conn, self._generation, project, written)
        heads = [one for one in written if one.recorded_to is None]
        for event in ("added", "updated", "deleted"):
            if changed := [(one.new.id, one.version) for one in heads if _event(one) == event]:
                await versions.record_events(conn, project, event, changed)
        await self._outbox.enqueue(conn, project, [(one.new.id, one.version) for one in heads])


def _words(line: VersionLine) -> dict[str, Any]:
    """What of a line is remembered: the ids of its scope, and its thread, which is made of them, are not looked at."""
    said = line.model_dump(mode="json", include=_REMEMBERED)
    return {name: value for name, value in said.items() if value}


def _incoming(number: int, scope: Scope, line: VersionLine) -> Incoming:
    return Incoming(number, scope, text_hash(line.memory) if line.memory else "", line)


def _place(one: Incoming) -> tuple[UUID, int]:
    return one.line.id, one.line.version


def _event(one: Imported) -> str:
    if one.state == "deleted":
        return "deleted"
    return "added" if one.version == 1 else "updated"


def _draft(one: Incoming, actor: str) -> Draft:
    line = one.line
    entities = tuple(Entity(e.key, e.name, e.kind) for e in line.entities or ())
    relations = tuple(
        Relation(r.subject, r.predicate, r.object, r.valid_from, r.valid_to) for r in line.relations or ()
    )
    return Draft(
        id=line.id,
        text=line.memory,
        event_time=_event_time(line),
        role=line.role,
        speaker=line.speaker,
        metadata=line.metadata,
        provenance=_settled(line.provenance) or {"key": actor, "verbatim": True, "imported": True},
        expires_at=line.expires_at,
        extraction=Extraction(entities, relations),
        extracted=line.entities is not None or line.relations is not None,
    )


def _buried(one: Incoming) -> NewVersion:
    line = one.line
    return NewVersion(
        id=line.id,
        text="",
        hash="",
        fingerprint="",
        event_time=_event_time(line),
        embedding=np.empty(0, np.float32),
        extraction=Extraction(),
        role=line.role,
        speaker=line.speaker,
        metadata=line.metadata,
        provenance=_settled(line.provenance),
    )


def _judgement(one: Incoming, actor: str) -> Feedback:
    word = one.line.feedback
    assert word is not None
    given_at = word.given_at or datetime.now(UTC)
    return Feedback(one.line.version, word.verdict, word.reason, word.given_by or actor, given_at)


def _settled(provenance: dict[str, Any]) -> dict[str, Any]:
    """Without the word that a language model will come back to it: the request it would read is not part of a file."""
    return {name: said for name, said in provenance.items() if (name, said) != ("inference", "pending")}


def _event_time(line: VersionLine) -> datetime:
    return line.event_time or line.created_at or line.recorded_from or datetime.now(UTC)


async def _places(
    conn: Connection, project: str, fresh: Iterable[Incoming]
) -> dict[int, tuple[str | None, int | None]]:
    """Thread and turn of each line, by its number: the file's own, or the next of its run."""
    threads = {one.number: thread_of(one.scope, 1) for one in fresh if one.line.thread is None}
    last = await archive.last_turns(conn, project, sorted({t for t in threads.values() if t}))
    found: dict[int, tuple[str | None, int | None]] = {}
    for one in fresh:
        thread = threads.get(one.number)
        if thread is not None and one.line.version == 1:
            last[thread] = last.get(thread, 0) + 1
            found[one.number] = thread, last[thread]
        else:
            found[one.number] = one.line.thread, one.line.turn
    return found
