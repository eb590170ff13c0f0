"""What becomes of a suspect write: marked, held for review, or refused, as the project's policy says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from memsys_api import metrics
from memsys_api.access.policies import Policies
from memsys_api.erasing import late
from memsys_api.model import Outcome, Quarantine
from memsys_api.problems import QUARANTINED, FieldError, ProblemError, key_reused
from memsys_api.quarantine.detect import Finding, Texts, inspect, kinds
from memsys_api.store import held, idempotency
from memsys_api.store.database import Connection, Database
from memsys_api.store.held import Kept
from memsys_api.store.idempotency import Once


class HeldForReview(Exception):
    """A write was not carried out: it waits for review under this id."""

    def __init__(self, project: str, review: UUID, memory_id: UUID | None, findings: Sequence[Finding]) -> None:
        super().__init__(str(review))
        self.project, self.review, self.memory_id, self.findings = project, review, memory_id, findings


class Gate:
    """Looks at every write before it is carried out, and at what a language model makes of one."""

    def __init__(self, database: Database, policies: Policies) -> None:
        self._database = database
        self._policies = policies

    async def mode(self, project: str) -> Quarantine:
        """What the project's policy does with what is suspect."""
        return (await self._policies.of(project)).quarantine

    async def marks(self, project: str) -> bool:
        """Whether what is stored there is to be marked where it is suspect."""
        return await self.mode(project) != "off"

    async def stopped(self, project: str, texts: Texts) -> list[Finding]:
        """What the project's policy does not let in of these texts, by field; nothing where it only marks."""
        return (await self.stopped_of_each(project, [texts]))[0]

    async def stopped_of_each(self, project: str, writes: Sequence[Texts]) -> list[list[Finding]]:
        """The same of many writes, in their order. They are read beside the event loop, however long they are."""
        if await self.mode(project) not in ("hold", "refuse"):
            return [[] for _ in writes]
        return await asyncio.to_thread(lambda: [inspect(texts) for texts in writes])

    async def admit(
        self, write: Kept, texts: Texts, *, once: Once | None = None, accepted_at: datetime | None = None
    ) -> Sequence[Outcome] | None:
        """Let a write through (``None``), or not: :meth:`stop` says what is raised and answered instead."""
        if findings := await self.stopped(write.scope.project, texts):
            return await self.stop(write, findings, once=once, accepted_at=accepted_at)
        return None

    async def stop(
        self,
        write: Kept,
        findings: Sequence[Finding],
        *,
        once: Once | None = None,
        accepted_at: datetime | None = None,
    ) -> Sequence[Outcome]:
        """Hold a suspect write, together with its Idempotency-Key, or refuse it.

        Raises :class:`HeldForReview`, or a ``quarantined`` problem that names kinds and fields, never what was found.
        What was ``accepted_at`` some time before it came, and erased since, raises an ``erased`` problem. Where another
        attempt at the same request was first meanwhile, nothing is held, and the answer is :func:`answered_before`'s.
        """
        project, review = write.scope.project, uuid4()
        if await self.mode(project) != "hold":
            raise refused(findings)
        async with self._database.transaction(project) as conn:
            await late.refuse(conn, write.scope, accepted_at)
            if once is not None and (earlier := await claim_or_answer(conn, project, once, review)) is not None:
                return earlier
            await self.hold(conn, write, findings, review)
        raise HeldForReview(project, review, write.memory_id, findings)

    async def hold(
        self, conn: Connection, write: Kept, findings: Sequence[Finding], review: UUID | None = None
    ) -> held.Held:
        """Keep a write for review in the caller's transaction; once under the same id, and as it was first kept."""
        kept, first = await held.hold(conn, review or uuid4(), write, [finding._asdict() for finding in findings])
        if first:
            metrics.QUARANTINE.labels("held").inc()
        return kept

    async def refuse(self, project: str, texts: Texts) -> None:
        """Let through what is not suspect; for words beside memories, which are refused where memories are held.

        Raises a ``quarantined`` problem that names kinds and fields.
        """
        if findings := await self.stopped(project, texts):
            raise refused(findings)


async def answered_before(conn: Connection, project: str, once: Once) -> Sequence[Outcome] | None:
    """What a request that comes again under its key is answered: as the first time, whatever the policy says by now.

    ``None``: it comes for the first time. Raises :class:`HeldForReview` as the first time where it was held and is not
    released, and ``idempotency-conflict`` for another request.
    """
    earlier = await idempotency.recall(conn, project, once.key)
    if earlier is None:
        return None
    if earlier.request_hash != once.request_hash:
        raise key_reused()
    if (review := earlier.review) is not None:
        raise HeldForReview(project, review.id, review.memory_id, [Finding(**one) for one in review.findings])
    return earlier.outcomes


async def claim_or_answer(
    conn: Connection, project: str, once: Once, review: UUID | None = None
) -> Sequence[Outcome] | None:
    """Claim a request's key for this transaction (``None``), or answer as :func:`answered_before` where it is taken.

    ``review`` is under which the request is held in it.
    """
    if await idempotency.claim(conn, project, once, review):
        return None
    answer = await answered_before(conn, project, once)
    assert answer is not None  # it was in the way just now
    return answer


def refused(findings: Sequence[Finding]) -> ProblemError:
    """The refusal of a write, by kinds and fields."""
    metrics.QUARANTINE.labels("refused").inc()
    said = ", ".join(kinds(findings))
    return ProblemError(
        QUARANTINED,
        f"the write looks like {said}, which this project's policy does not let in; leave it out",
        errors=[FieldError(f.field, f"looks like {f.kind}, characters {f.start} to {f.end}") for f in findings[:20]],
    )
