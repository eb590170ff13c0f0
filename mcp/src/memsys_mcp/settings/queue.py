"""Writes that are kept while the API is away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings

from memsys_mcp.writequeue.file import MAX_BYTES

MAX_ITEMS = 100_000


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class QueueSettings(BaseSettings):
    """Settings of the write queue."""

    write_queue: Annotated[Literal["off"] | Annotated[int, Field(ge=1, le=MAX_ITEMS)], BeforeValidator(_number)] = (
        Field(
            "off",
            alias="MEMSYS_MCP_WRITE_QUEUE",
            description="How many memories to keep at most while the API is away, for when it is back; or `off`.",
        )
    )
    queue_dir: Path | None = Field(
        None,
        alias="MEMSYS_MCP_QUEUE_DIR",
        description="Where to keep them: a folder of this server's own; servers on stdio may share one. What is kept "
        "there can be read by whoever reads the folder; keys and tokens are not.",
    )

    queue_megabytes: int = Field(
        MAX_BYTES // 1024**2,
        ge=1,
        alias="MEMSYS_MCP_QUEUE_MEGABYTES",
        description="How many MiB they may take on the disk together, whatever the number of memories.",
    )
    queue_hours: int = Field(
        48,
        ge=1,
        le=168,
        alias="MEMSYS_MCP_QUEUE_HOURS",
        description="How long to keep each of them at most, sent or not: 48 hours are as long as the API knows a "
        "repeated write as one. Told to the API under the same name, it stands in the receipts of erasures.",
    )

    @model_validator(mode="after")
    def _queue_has_a_folder(self) -> Self:
        if self.write_queue != "off" and self.queue_dir is None:
            raise ValueError(
                "MEMSYS_MCP_WRITE_QUEUE is on, but MEMSYS_MCP_QUEUE_DIR is not set; name a folder that outlives the "
                "process"
            )
        return self
