"""Changes that no client can make, beside a replica that runs in the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import LiteralString

import psycopg


async def by_hand(url: str, statement: LiteralString, parameters: Sequence[object] = ()) -> None:
    """Carry out a statement in a thread: the replica may hold a row's lock, and needs the event loop to let it go."""
    await asyncio.to_thread(_carry_out, url, statement, parameters)


def _carry_out(url: str, statement: LiteralString, parameters: Sequence[object]) -> None:
    with psycopg.connect(url) as conn:
        conn.execute(statement, parameters)
