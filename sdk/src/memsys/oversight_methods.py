"""The blocking client's methods on the audit trail, erasures, reviews and policies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from memsys import operations
from memsys import oversight as calls
from memsys.models import Policy
from memsys.operations import Scope
from memsys.oversight import AuditPage, Erasure, ErasurePage, Review, ReviewPage, ReviewState
from memsys.sending import Chunks, Lines, Sending


class OversightMethods(Sending):
    """What the blocking client can ask of them."""

    def audit(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> AuditPage:
        """Who changed what within the project, newest first; needs the admin right, as all of these do."""
        return self._send(
            calls.audit(actor=actor, action=action, target=target, since=since, until=until, limit=limit, cursor=cursor)
        )

    def erase(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        memory_ids: Sequence[UUID | str] | None = None,
        everything: bool = False,
    ) -> Erasure:
        """Forget for good, in every store. ``state`` says whether it is done; :meth:`erasure` follows it."""
        scope = Scope(user_id, agent_id, app_id, run_id)
        return self._send(calls.erase(scope=scope, memory_ids=memory_ids, everything=everything))

    def erasures(self, *, limit: int | None = None, cursor: str | None = None) -> ErasurePage:
        """The project's erasures, newest first."""
        return self._send(calls.erasures(limit=limit, cursor=cursor))

    def erasure(self, erasure_id: UUID | str) -> Erasure:
        """One erasure: how far it is, or its receipt."""
        return self._send(calls.erasure(erasure_id))

    def erasure_ledger(self) -> Chunks:
        """Every erasure as JSON Lines, ids and times alone, in pieces: to be kept outside the database."""
        return self._pieces(calls.erasure_ledger())

    def replay_erasures(self, ledger: Lines) -> int:
        """Carry out a ledger's erasures once more, after every restore; how many. Never retried by itself."""
        return (self._send_lines(calls.replay_erasures(), ledger)).replayed

    def reviews(
        self, *, state: ReviewState = "held", limit: int | None = None, cursor: str | None = None
    ) -> ReviewPage:
        """Writes that wait for review, or were decided on, newest first."""
        return self._send(calls.reviews(state=state, limit=limit, cursor=cursor))

    def release(self, review_id: UUID | str) -> Review:
        """Carry a held write out, as whoever wrote it asked."""
        return self._send(calls.decide(review_id, "release"))

    def reject(self, review_id: UUID | str) -> Review:
        """Drop a held write."""
        return self._send(calls.decide(review_id, "reject"))

    def policy(self) -> Policy:
        """The project's policy, and what holds with the server's defaults."""
        return self._send(operations.policy())

    def set_policy(
        self,
        *,
        quarantine: str | None = None,
        llm_tokens_per_day: int | None = None,
        requests_per_minute: int | None = None,
    ) -> Policy:
        """Set the project's policy as a whole; what is left out is the server's default. Needs an admin key."""
        return self._send(
            operations.set_policy(
                quarantine=quarantine,
                llm_tokens_per_day=llm_tokens_per_day,
                requests_per_minute=requests_per_minute,
            )
        )
