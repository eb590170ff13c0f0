"""What each project's policy says, at hand for every request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from memsys_api.model import Quarantine
from memsys_api.recent import Recent
from memsys_api.settings import Settings
from memsys_api.store import policies
from memsys_api.store.database import Database

_FRESH_SECONDS = 1.0
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds in a project. A limit that is ``None`` is none."""

    quarantine: Quarantine
    llm_tokens_per_day: int | None
    requests_per_minute: int | None


class Policies:
    """Every project's policy, at most a second old."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._defaults = Policy(settings.quarantine, settings.llm_tokens_per_day, settings.rate_limit_per_minute)
        self._recent = Recent(self._look_up, seconds=_FRESH_SECONDS, size=_REMEMBERED)

    async def of(self, project: str) -> Policy:
        """What holds in the project. Raises what the database raises."""
        return await self._recent.get(project)

    async def _look_up(self, project: str) -> Policy:
        stored = await policies.find(self._database, project)
        return self.in_force(stored.policy if stored else {})

    def in_force(self, document: dict[str, Any]) -> Policy:
        """A stored document with the server's defaults where it says nothing."""

        def said(field: str) -> Any:
            value = document.get(field)
            return getattr(self._defaults, field) if value is None else value

        return Policy(cast(Quarantine, said("quarantine")), said("llm_tokens_per_day"), said("requests_per_minute"))

    def forget(self, project: str) -> None:
        """Look the project's policy up afresh; for the replica that just changed it."""
        self._recent.forget(project)
