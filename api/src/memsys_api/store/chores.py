"""What the server does again and again by itself: one failure, whatever it is, does not end it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

from memsys_api.store.database import DatabaseUnavailable, StatementTimeout

log = logging.getLogger(__name__)


async def repeat(
    name: str, chore: Callable[[], Awaitable[object]], seconds: float, *, put_off: int = logging.WARNING
) -> NoReturn:
    """Do a chore, wait, do it again; to be cancelled.

    ``put_off`` is the level at which it is told that the database was away: for a chore of every few seconds others
    have told it already.
    """
    while True:
        try:
            await chore()
        except (DatabaseUnavailable, StatementTimeout) as error:
            log.log(put_off, "chore put off", extra={"chore": name, "reason": " ".join(str(error).split())})
        except Exception:
            log.exception("chore failed", extra={"chore": name})
        await asyncio.sleep(seconds)
