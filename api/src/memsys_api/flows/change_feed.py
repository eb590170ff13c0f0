"""What all change streams of a replica share: one look at the database for all of them, a limit, and an end."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from memsys_api import background
from memsys_api.metrics import CHANGE_STREAMS
from memsys_api.problems import TOO_MANY_STREAMS, ProblemError
from memsys_api.store import changes
from memsys_api.store.database import Database, DatabaseUnavailable, StatementTimeout
from memsys_api.store.positions import Watch

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_STOP_SECONDS = 5.0
_RETRY_AFTER = 5


class Feed:
    """Wakes streams when there may be something new; looks only while somebody listens."""

    def __init__(self, database: Database, *, most: int) -> None:
        self._database = database
        self._most = most
        self._most_of_a_project = most - most // 4
        self._of_projects = Counter[str]()
        self._look_now = asyncio.Event()
        self._news = asyncio.Event()
        self._tasks = background.Tasks()

    @property
    def closing(self) -> bool:
        """Whether streams are to end."""
        return self._tasks.stopping.is_set()

    def wake(self) -> None:
        """Something was written here."""
        self._look_now.set()

    def start(self) -> None:
        """Begin to look in the background."""
        self._tasks.start(self._watch(), "changes")

    def close(self) -> None:
        """Have all streams end, and no new ones begin: the server is about to stop."""
        self._tasks.stopping.set()
        self._news.set()
        self._look_now.set()

    async def stop(self) -> None:
        """Stop looking."""
        self.close()
        await self._tasks.end(_STOP_SECONDS)

    def admit(self, project: str) -> None:
        """Raises a ``too-many-streams`` problem when there is no room for one more stream of the project.

        A quarter of the room is for other projects: none can keep all others from listening.
        """
        said = None
        streams = self._of_projects.total()
        if self.closing or streams >= self._most:
            said = f"this replica serves {streams} streams, of at most {self._most}"
        elif self._of_projects[project] >= self._most_of_a_project:
            said = f"this replica serves {self._most_of_a_project} streams of the project, and no more of one project"
        if said is not None:
            raise ProblemError(TOO_MANY_STREAMS, f"{said}; try again, or ask for pages", retry_after=_RETRY_AFTER)

    @contextmanager
    def stream(self, project: str) -> Iterator[None]:
        """One more stream, while it lasts."""
        self._of_projects[project] += 1
        CHANGE_STREAMS.set(self._of_projects.total())
        self._look_now.set()
        try:
            yield
        finally:
            self._of_projects[project] -= 1
            if not self._of_projects[project]:
                del self._of_projects[project]
            CHANGE_STREAMS.set(self._of_projects.total())

    def news(self) -> asyncio.Event:
        """Set when something comes after now; ask for it before reading, so that nothing is missed."""
        return self._news

    async def _watch(self) -> None:
        watch = Watch()
        while not self.closing:
            self._look_now.clear()
            try:
                if self._of_projects:
                    now = await changes.snapshot(self._database)
                    if watch.look(now.last, now.xmin, now.xmax):
                        told, self._news = self._news, asyncio.Event()
                        told.set()
            except (DatabaseUnavailable, StatementTimeout):
                log.debug("changes not looked for: database away")
            except Exception:
                log.exception("changes not looked for")
            await background.wait(self._look_now, _POLL_SECONDS if self._of_projects else None)
