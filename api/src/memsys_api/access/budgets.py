"""How much of the language model each project may use a day. PostgreSQL counts, for all replicas together.

A call begins only while less than the budget is used, and is counted when its answer is there: calls that are under way
together may pass the budget by what they cost themselves. The day is UTC's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta

from memsys_api import metrics
from memsys_api.access.policies import Policies
from memsys_api.inference import InferenceUnavailable, Spent, Usage
from memsys_api.store import usage
from memsys_api.store.database import Database


class OverBudget(InferenceUnavailable):
    """The project has used its tokens for today; ``retry_after`` is until the day ends."""


def _now() -> datetime:
    return datetime.now(UTC)


class Budgets:
    """Lets inferences begin, and counts what they cost."""

    def __init__(self, database: Database, policies: Policies, now: Callable[[], datetime] = _now) -> None:
        self._database = database
        self._policies = policies
        self._now = now

    async def check(self, project: str) -> None:
        """Raises :class:`OverBudget`, and what the database raises."""
        if await self._used_up(project) is None:
            return
        self._policies.forget(project)  # it may have been raised within this second
        if (budget := await self._used_up(project)) is None:
            return
        metrics.LLM_OVER_BUDGET.inc()
        now = self._now()
        left = datetime.combine(now.date() + timedelta(days=1), time(), UTC) - now
        raise OverBudget(f"the project has used its {budget} tokens for today", retry_after=left.total_seconds())

    async def _used_up(self, project: str) -> int | None:
        """``None`` while there is something left, else the budget."""
        budget = (await self._policies.of(project)).llm_tokens_per_day
        if budget is None or await usage.today(self._database, project) < budget:
            return None
        return budget

    @asynccontextmanager
    async def counting(self, project: str) -> AsyncIterator[Spent]:
        """Count what an inference within costs: every answer that it is told of, however the inference ends."""
        spent = Usage()

        def told(cost: Usage) -> None:
            nonlocal spent
            spent += cost

        try:
            yield told
        finally:
            if spent.calls:
                await usage.add(self._database, project, spent.input_tokens + spent.output_tokens, spent.calls)
