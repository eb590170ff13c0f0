"""What the server does again and again by itself: one failure, whatever it is, does not end it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from memsys_api import background
from memsys_api.causes import in_one_line
from memsys_api.store.database import DatabaseUnavailable, StatementTimeout

log = logging.getLogger(__name__)


async def repeat(
    name: str,
    chore: Callable[[], Awaitable[object]],
    seconds: float,
    *,
    until: asyncio.Event | None = None,
    put_off: int = logging.WARNING,
) -> None:
    """Do a chore, wait, do it again, ``until`` that is set; without it, to be cancelled.

    ``put_off`` is the level at which it is told that the database was away: for a chore of every few seconds others
    have told it already.
    """
    over = until or asyncio.Event()
    while not over.is_set():
        try:
            await chore()
        except (DatabaseUnavailable, StatementTimeout) as error:
            log.log(put_off, "chore put off", extra={"chore": name, "reason": in_one_line(error)})
        except Exception:
            log.exception("chore failed", extra={"chore": name})
        await background.wait(over, seconds)
