"""What becomes of a suspect write: marked, held for review, or refused, as the project's policy says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn
from uuid import UUID, uuid4, uuid5

from memsys_api import metrics
from memsys_api.access.policies import Policies
from memsys_api.erasing import late
from memsys_api.model import Quarantine
from memsys_api.problems import QUARANTINED, FieldError, ProblemError
from memsys_api.quarantine.detect import Finding, Texts, inspect, kinds
from memsys_api.store import held
from memsys_api.store.database import Connection, Database
from memsys_api.store.held import Kept

_REPEATED = UUID("5f4e7a0c-93d4-4c07-8f7b-0a3d6e1f2b59")


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
        return inspect(texts) if await self.mode(project) in ("hold", "refuse") else []

    async def admit(
        self, write: Kept, texts: Texts, *, repeated: str | None = None, accepted_at: datetime | None = None
    ) -> None:
        """Let a write through, or not: :meth:`stop` says what is raised.

        A request that is known to be one that came before, by ``repeated``, is held once, and stays so when the same
        texts or what is made of them would pass by now.
        """
        if repeated is not None and await self.mode(write.scope.project) == "hold":
            earlier = await held.get(self._database, write.scope.project, _review(write, repeated))
            if earlier is not None:
                findings = [Finding(**finding) for finding in earlier.findings]
                raise HeldForReview(write.scope.project, earlier.id, earlier.memory_id, findings)
        if findings := await self.stopped(write.scope.project, texts):
            await self.stop(write, findings, repeated=repeated, accepted_at=accepted_at)

    async def stop(
        self,
        write: Kept,
        findings: Sequence[Finding],
        *,
        repeated: str | None = None,
        accepted_at: datetime | None = None,
    ) -> NoReturn:
        """Hold a suspect write, or refuse it.

        Raises :class:`HeldForReview`, or a ``quarantined`` problem that names kinds and fields, never what was found.
        What was ``accepted_at`` some time before it came, and erased since, raises an ``erased`` problem.
        """
        if await self.mode(write.scope.project) != "hold":
            raise refused(findings)
        review = _review(write, repeated)
        async with self._database.transaction(write.scope.project) as conn:
            await late.refuse(conn, write.scope, accepted_at)
            await self.hold(conn, write, findings, review)
        raise HeldForReview(write.scope.project, review, write.memory_id, findings)

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


def refused(findings: Sequence[Finding]) -> ProblemError:
    """The refusal of a write, by kinds and fields."""
    metrics.QUARANTINE.labels("refused").inc()
    said = ", ".join(kinds(findings))
    return ProblemError(
        QUARANTINED,
        f"the write looks like {said}, which this project's policy does not let in; leave it out",
        errors=[FieldError(f.field, f"looks like {f.kind}, characters {f.start} to {f.end}") for f in findings[:20]],
    )


def _review(write: Kept, repeated: str | None) -> UUID:
    return uuid4() if repeated is None else uuid5(_REPEATED, f"{write.scope.project}\x1f{repeated}")
