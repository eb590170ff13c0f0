"""Forgetting for good: in steps that can each be interrupted and done again, ending in a receipt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from memsys_api.erasing.receipt import Kept
from memsys_api.erasing.worker import Eraser, Outside
from memsys_api.ports import Embedder, Sink
from memsys_api.settings import Settings
from memsys_api.store.database import Database
from memsys_api.store.generations import Generation

__all__ = ["Eraser", "create"]


def create(
    settings: Settings,
    database: Database,
    generation: Generation,
    embedder: Embedder,
    sinks: Sequence[Sink],
    wake: Callable[[], None],
) -> Eraser:
    """The eraser that these settings ask for, not started yet."""
    backups = settings.backup_retention_days
    kept = Kept(
        backups=None if backups is None else timedelta(days=backups),
        graph_logs=timedelta(days=settings.graph_log_retention_days),
        queued_writes=None if settings.mcp_queue_hours is None else timedelta(hours=settings.mcp_queue_hours),
        graph_volume=settings.kept_graph_volume,
    )
    outside = Outside(
        owner_url=settings.migration_url,
        sinks=sinks,
        wake_sinks=wake,
        forget_cached=embedder.forget,
        ledger=settings.erasure_ledger,
        remembered=timedelta(days=days) if (days := settings.erasure_ledger_retention_days) else None,
        kept=kept,
    )
    return Eraser(database, generation, outside)
