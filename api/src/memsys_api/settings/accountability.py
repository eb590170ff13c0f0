"""What is kept about changes and about forgetting, and for how long."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings


class AccountabilitySettings(BaseSettings):
    """The audit trail and erasure."""

    audit_retention_days: int = Field(
        365,
        ge=0,
        le=36_500,
        validation_alias="MEMSYS_AUDIT_RETENTION_DAYS",
        description="How long the audit trail goes back; 0: nothing of it is ever removed.",
    )
    erasure_ledger: Path | None = Field(
        None,
        validation_alias="MEMSYS_ERASURE_LEDGER",
        description="A file outside the database to which every erasure is written, ids alone, and from which all of "
        "them are carried out again at the start: a restored backup then forgets what was to be forgotten.",
    )
    erasure_ledger_retention_days: int = Field(
        0,
        ge=0,
        le=36_500,
        validation_alias="MEMSYS_ERASURE_LEDGER_RETENTION_DAYS",
        description="How long finished erasures are remembered, in the database and in MEMSYS_ERASURE_LEDGER; 0: for "
        "ever. Longer than MEMSYS_BACKUP_RETENTION_DAYS, or a restored backup would bring back what was erased.",
    )
    backup_retention_days: int | None = Field(
        None,
        ge=0,
        validation_alias="MEMSYS_BACKUP_RETENTION_DAYS",
        description="How long backups and archived write-ahead logs of PostgreSQL are kept; what erasure receipts say "
        "of them is computed from this.",
    )
    mcp_queue_hours: int | None = Field(
        None,
        ge=0,
        validation_alias="MEMSYS_MCP_QUEUE_HOURS",
        description="How long the MCP servers of this system keep writes while this server is away (their setting of "
        "the same name); 0: they keep none. What erasure receipts say of them is computed from this.",
    )
    graph_log_retention_days: int = Field(
        2,
        ge=0,
        validation_alias="MEMSYS_GRAPH_LOG_RETENTION_DAYS",
        description="How long Neo4j keeps transaction logs (db.tx_log.rotation.retention_policy, whose default this "
        "is); what erasure receipts say of them is computed from this.",
    )

    kept_graph_volume: str | None = Field(
        None,
        validation_alias="MEMSYS_KEPT_GRAPH_VOLUME",
        description="The volume of a graph that was switched off, by the name by which it can be deleted. Erasure "
        "receipts name it, because it holds texts of memories that were erased since.",
    )

    def accountability_problems(self) -> list[str]:
        """What does not go together, by setting."""
        days, backups = self.erasure_ledger_retention_days, self.backup_retention_days
        if days and (backups is None or days <= backups):
            return [
                "MEMSYS_ERASURE_LEDGER_RETENTION_DAYS: expected more days than MEMSYS_BACKUP_RETENTION_DAYS, which has "
                "to be set; or 0, to forget no erasure"
            ]
        return []
