"""JSON logs on standard output, one object a line, each with the id of the request it belongs to.

Call sites log ids, counts and codes; never memory text, queries, keys or passwords.
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson

from memsys_api import telemetry
from memsys_api.causes import cause, chain

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time, level, logger, message, request_id, whatever ``extra`` holds, error."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (current := request_id.get()) is not None:
            entry["request_id"] = current
        if (trace := telemetry.trace_id()) is not None:
            entry["trace_id"] = trace
        entry.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            entry["error"] = _traceback(record.exc_info[1])
        return orjson.dumps(entry, default=str).decode()


def _traceback(error: BaseException | None) -> list[str]:
    """Where an error arose and what it is, cause by cause, outermost first; never a message, which may quote texts."""
    lines = []
    for one in chain(error) if error else ():
        lines.append(cause(one))
        lines += [
            f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(one.__traceback__)
        ]
    return lines


def configure(level: str) -> None:
    """Send every logger's records to standard output as JSON, from ``level`` up.

    Libraries are held to warnings: what they say in detail quotes what was sent.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=max(logging.WARNING, logging.getLevelName(level)), handlers=[handler], force=True)
    for ours in ("memsys_api", "uvicorn"):
        logging.getLogger(ours).setLevel(level)
    # The driver warns of every attempt while the graph is away, and the dispatcher says so once.
    logging.getLogger("neo4j").setLevel(logging.ERROR)
