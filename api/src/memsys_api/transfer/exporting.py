"""The flow of an export: one snapshot, read through a cursor, written line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from uuid import UUID

from memsys_api import problems
from memsys_api.model import Scope
from memsys_api.problems import ProblemError
from memsys_api.store import archive, audit
from memsys_api.store.database import Database
from memsys_api.transfer import lines

_AT_ONCE = 4
_OF_ONE_PROJECT = 2  # so that slow readers of one leave room for the others
_CHUNK_BYTES = 64 * 1024


class Exporting:
    """Exports projects, a few at once: each holds a connection for as long as its reader takes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running: Counter[str] = Counter()

    async def export(
        self, scope: Scope, *, heads: bool, check: Callable[[], Awaitable[None]]
    ) -> AsyncGenerator[bytes, None]:
        """What the scope holds, as chunks of JSON Lines; audited before the first.

        Raises ``unavailable`` while too many others are at it, of this project or of all. Before each chunk ``check``
        is asked, and what it raises ends the export: the key may have been revoked. What has been erased by then is
        left out of it.
        """
        project = scope.project
        full = self._running.total() >= _AT_ONCE
        if full or self._running[project] >= _OF_ONE_PROJECT:
            said = f"{_AT_ONCE} exports" if full else f"{_OF_ONE_PROJECT} exports of this project"
            detail = f"{said} are being written already; try again when one of them has ended"
            raise ProblemError(problems.UNAVAILABLE, detail, retry_after=5)
        self._running[project] += 1
        try:
            async with self._database.transaction(project) as conn:
                await audit.record(conn, project, "project.exported", heads=heads)
            chunk, count = lines.write_header(heads), 0
            pending: list[tuple[UUID, bytes]] = []
            size = 0
            async with aclosing(archive.versions(self._database, scope, heads=heads)) as versions:
                async for version in versions:
                    pending.append((version["id"], lines.write_version(version)))
                    size += len(pending[-1][1])
                    if size >= _CHUNK_BYTES:
                        await check()
                        left = await self._left(project, pending)
                        yield chunk + b"".join(left)
                        chunk, count, pending, size = b"", count + len(left), [], 0
            await check()
            left = await self._left(project, pending)
            yield chunk + b"".join(left) + lines.write_end(count + len(left))
        finally:
            self._running[project] -= 1
            if not self._running[project]:
                del self._running[project]

    async def _left(self, project: str, pending: Sequence[tuple[UUID, bytes]]) -> list[bytes]:
        """The lines of what has not been erased since the snapshot, which no erasure waits for."""
        there = await archive.there(self._database, project, {memory_id for memory_id, _ in pending})
        return [line for memory_id, line in pending if memory_id in there]
