"""What physically remains after an erasure, where, and until when at the latest. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from memsys_api.store import retention
from memsys_api.store.vacuum import Vacuumed, WriteAheadLog

CACHE = timedelta(seconds=2)
"""Within this every replica drops its cache of embeddings, see :mod:`memsys_api.erasing.worker`."""
QUEUE_SWEPT = timedelta(minutes=5)
"""Within this an MCP server that runs drops what it has kept for its time."""
CHANGES = retention.OUTBOX + retention.PERIOD
"""Within this an event is swept from the log of changes."""


@dataclass(frozen=True)
class Kept:
    """How long copies are kept outside the reach of this server, as far as its settings say."""

    backups: timedelta | None
    graph_logs: timedelta
    queued_writes: timedelta | None
    """Zero: there is no queue of writes."""
    graph_volume: str | None
    """The volume of a graph that was switched off; ``None``: this server was told of none."""


@dataclass(frozen=True)
class Remainder:
    """Something that no query reaches any more, and the event that removes it."""

    where: str
    what: str
    event: str
    until: datetime | None
    """At the latest; ``None``: no setting of this server tells."""

    def to_json(self) -> dict[str, Any]:
        return {
            "where": self.where,
            "what": self.what,
            "event": self.event,
            "until": self.until.isoformat() if self.until else None,
        }


def remainders(
    *,
    requested: datetime,
    mark: datetime,
    finished: datetime,
    vacuumed: Vacuumed,
    wal: WriteAheadLog,
    kept: Kept,
    sinks: Sequence[str],
) -> list[Remainder]:
    """What remains of what was recorded by ``requested`` and removed by ``mark``, in the order of the stores."""
    found = [_rows(vacuumed)]
    found.append(
        Remainder(
            "the log of changes",
            "with each deletion whose memory it was (user_id, agent_id, app_id, run_id), no text, so that readers of "
            "these ids alone are told to drop their copies",
            "the end of the time for which changes are kept",
            mark + CHANGES,
        )
    )
    found.append(
        Remainder(
            "PostgreSQL's write-ahead log",
            "the removed rows as they were once written",
            "the second checkpoint, after which segments are reused; a replication slot or wal_keep_size holds them "
            "for longer",
            finished + 2 * wal.checkpoint,
        )
    )
    found.append(
        Remainder(
            "backups and archived logs of PostgreSQL" if wal.archived else "backups of PostgreSQL",
            "the rows as they were when a backup was made; a restore is followed by a replay of the erasure ledger",
            "their expiry"
            if kept.backups is not None
            else "their expiry, which MEMSYS_BACKUP_RETENTION_DAYS does not tell this server",
            None if kept.backups is None else finished + kept.backups,
        )
    )
    if "graph" in sinks:
        found.append(
            Remainder(
                "the graph's transaction logs",
                "the removed nodes and relationships as they were once written",
                "the rotation of the logs",
                finished + kept.graph_logs,
            )
        )
        found.append(
            Remainder(
                "the graph's store files",
                "bytes of removed nodes and relationships in free records",
                "their reuse, or a copy of the store by neo4j-admin database copy",
                None,
            )
        )
    if kept.graph_volume is not None:
        found.append(
            Remainder(
                f"{kept.graph_volume}, the volume of a graph that was switched off",
                "texts, entities and relations as the graph held them last; no erasure reaches it",
                "its deletion",
                None,
            )
        )
    found += [
        Remainder(f"the store behind the sink {name}", "what it keeps of removed records", "its own compaction", None)
        for name in sinks
        if name != "graph"
    ]
    found.append(
        Remainder(
            "the embedding cache of each replica",
            "vectors under digests of texts, no text",
            "the replica's next look at the database; of one that is cut off from it, its return or its end",
            mark + CACHE,
        )
    )
    if kept.queued_writes != timedelta():
        found.append(_queued(requested, kept.queued_writes))
    found.append(Remainder("logs, metrics and the audit trail", "ids and counts, no text", "their own retention", None))
    return found


def _queued(requested: datetime, hours: timedelta | None) -> Remainder:
    return Remainder(
        "the write queues of MCP servers (MEMSYS_MCP_WRITE_QUEUE), where they are on",
        "adds that such a server had accepted while this one was away: they are refused when they come, and dropped",
        "their sending; of those whose writer does not come back their expiry, at a server that is stopped its next "
        "start" + ("" if hours is not None else "; MEMSYS_MCP_QUEUE_HOURS does not tell this server when"),
        None if hours is None else requested + hours + QUEUE_SWEPT,
    )


def _rows(vacuumed: Vacuumed) -> Remainder:
    where = "PostgreSQL's tables"
    if vacuumed.refused:
        return Remainder(
            where,
            f"removed rows of {', '.join(vacuumed.refused)}, which this server's role may not vacuum",
            "the next autovacuum of these tables",
            None,
        )
    if vacuumed.kept:
        return Remainder(
            where,
            f"{vacuumed.kept} removed rows that a transaction older than the vacuum may still read",
            "the first vacuum after that transaction's end",
            None,
        )
    return Remainder(
        where,
        "bytes of removed rows in the free space of pages; the rows themselves are vacuumed",
        "their overwriting, or VACUUM FULL",
        None,
    )
