"""The flow of an export: one snapshot, read through a cursor, written line by line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from memsys_api import problems
from memsys_api.model import Scope
from memsys_api.problems import ProblemError
from memsys_api.store import archive, audit
from memsys_api.store.database import Database
from memsys_api.transfer import lines

_AT_ONCE = 4
_CHUNK_BYTES = 64 * 1024


class Exporting:
    """Exports projects, a few at once: each holds a connection for as long as its reader takes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running = 0

    async def export(self, scope: Scope, *, heads: bool, check: Callable[[], Awaitable[None]]) -> AsyncIterator[bytes]:
        """What the scope holds, as chunks of JSON Lines; audited before the first.

        Raises ``unavailable`` while too many others are at it. Before each chunk ``check`` is asked, and what it raises
        ends the export: the key may have been revoked.
        """
        if self._running >= _AT_ONCE:
            detail = f"{_AT_ONCE} exports are being written already; try again"
            raise ProblemError(problems.UNAVAILABLE, detail, retry_after=5)
        self._running += 1
        try:
            async with self._database.transaction(scope.project) as conn:
                await audit.record(conn, scope.project, "project.exported", heads=heads)
            pending, count = bytearray(lines.write_header(heads)), 0
            async for version in archive.versions(self._database, scope, heads=heads):
                pending += lines.write_version(version)
                count += 1
                if len(pending) >= _CHUNK_BYTES:
                    await check()
                    yield bytes(pending)
                    pending.clear()
            await check()
            yield bytes(pending + lines.write_end(count))
        finally:
            self._running -= 1
