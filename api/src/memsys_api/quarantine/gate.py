"""What becomes of a suspect write: marked, held for review, or refused, as the project's policy says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4, uuid5

from memsys_api.access.policies import Policies
from memsys_api.model import Scope
from memsys_api.problems import QUARANTINED, FieldError, ProblemError
from memsys_api.quarantine.detect import Finding, inspect, kinds
from memsys_api.store import held
from memsys_api.store.database import Database

_REPEATED = UUID("5f4e7a0c-93d4-4c07-8f7b-0a3d6e1f2b59")


class HeldForReview(Exception):
    """A write was not carried out: it waits for review under this id."""

    def __init__(self, project: str, review: UUID, memory_id: UUID | None, findings: list[Finding]) -> None:
        super().__init__(str(review))
        self.project, self.review, self.memory_id, self.findings = project, review, memory_id, findings


class Gate:
    """Looks at every write before it is carried out."""

    def __init__(self, database: Database, policies: Policies) -> None:
        self._database = database
        self._policies = policies

    async def marks(self, project: str) -> bool:
        """Whether what is stored there is to be marked where it is suspect."""
        return (await self._policies.of(project)).quarantine != "off"

    async def admit(
        self,
        scope: Scope,
        texts: Mapping[str, str],
        request: Mapping[str, Any],
        actor: str,
        *,
        memory_id: UUID | None = None,
        repeated: str | None = None,
    ) -> None:
        """Let a write through, or not.

        ``texts`` are looked at, by field; ``request`` is what is kept for review. A request that is known to be one
        that came before, by ``repeated``, is held once. Raises :class:`HeldForReview`, and a ``quarantined`` problem
        that names kinds and fields, never what was found.
        """
        mode = (await self._policies.of(scope.project)).quarantine
        if mode not in ("hold", "refuse") or not (findings := inspect(texts)):
            return
        if mode == "refuse":
            raise refused(findings)
        review = uuid4() if repeated is None else uuid5(_REPEATED, f"{scope.project}\x1f{repeated}")
        await held.hold(self._database, scope, review, memory_id, [f._asdict() for f in findings], request, actor)
        raise HeldForReview(scope.project, review, memory_id, findings)

    async def refuse(self, project: str, texts: Mapping[str, str]) -> None:
        """Let through what is not suspect; for changes of many at once, which are carried out whole or not at all."""
        mode = (await self._policies.of(project)).quarantine
        if mode in ("hold", "refuse") and (findings := inspect(texts)):
            raise refused(findings)


def refused(findings: list[Finding]) -> ProblemError:
    """The refusal of a write, by kinds and fields."""
    said = ", ".join(kinds(findings))
    return ProblemError(
        QUARANTINED,
        f"the write looks like {said}, which this project's policy does not let in; leave it out",
        errors=[FieldError(f.field, f"looks like {f.kind}, characters {f.start} to {f.end}") for f in findings[:20]],
    )
