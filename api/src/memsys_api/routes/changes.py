"""What happens to memories: page by page, or as a stream of server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from memsys_api import background, problems
from memsys_api.flows.change_feed import Feed
from memsys_api.model import Scope
from memsys_api.problems import GONE, ProblemError, invalid, render
from memsys_api.routes.common import Json, Reader, Serving, may_answer, standing
from memsys_api.schemas import changes as wire
from memsys_api.store import changes, positions
from memsys_api.store.changes import Change, Lost, Page
from memsys_api.store.database import Database, DatabaseUnavailable, StatementTimeout
from memsys_api.store.positions import Position

router = APIRouter(tags=["changes"])

EVENT_STREAM = "text/event-stream"
_BATCH = 500
_LOOK_ANYWAY_SECONDS = 5.0
_CHECK_SECONDS = 0.5  # with the second that a key is remembered, a revoked key's stream ends within two
_RECONNECT_MILLISECONDS = 2000

_EXAMPLE = (
    "id: 1-6b0157c56c6a0b6800000001-2fa-2fc-1\nevent: added\n"
    'data: {"id": "1-6b0157c56c6a0b6800000001-2fa-2fc-1", "event": "added", "project": "default", '
    '"memory_id": "6f1e…", "version": 1, "user_id": "alice", …}\n\n'
)


@router.get(
    "/changes",
    response_model=wire.ChangePage,
    responses={
        200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}, "example": _EXAMPLE}}},
        **may_answer(problems.GONE, problems.TOO_MANY_STREAMS),
    },
)
async def listen(
    serving: Serving,
    access: Reader,
    http: Request,
    query: Annotated[wire.ChangeQuery, Query()],
    last_event_id: Annotated[
        str | None,
        Header(alias="Last-Event-ID", max_length=128, description="As `since`, and before it: what EventSource sends."),
    ] = None,
) -> Response:
    """What happens to memories of the scope, oldest first, from a position on; nothing is ever skipped.

    A page; or, with `Accept: text/event-stream`, a stream that goes on until it is broken off and is resumed by the id
    of the last event. It ends within two seconds of its key's revocation. A change appears once all transactions that
    began before it have ended. A position from before the oldest change that is kept is answered 410.

    Of a memory that was erased its deletion is told, to whoever may read its ids; what came before it is then told
    without ids, and only to readers of the whole project.
    """
    scope = access.scope(query.user_id, query.agent_id, query.app_id, query.run_id)
    field, since = ("Last-Event-ID", last_event_id) if last_event_id else ("since", query.since)
    position = await _begin(serving.database, scope.project, field, since)
    with_text = query.include == "memory"
    streamed = EVENT_STREAM in http.headers.get("accept", "")
    try:
        limit = 1 if streamed else query.limit  # one look tells whether a stream can begin there
        page = await changes.read(serving.database, scope, position, limit, with_text=with_text)
    except Lost as error:
        raise _gone(error) from error
    if not streamed:
        results = [_out(change, with_text) for change in page.changes]
        return Json({"results": results, "next": str(page.position), "more": page.more})

    serving.feed.admit(scope.project)
    check = standing(http, serving, access, "read")
    stream = _Stream(serving.database, serving.feed, scope, position, with_text, check)
    return StreamingResponse(
        stream.events(serving.settings.changes_heartbeat_seconds),
        media_type=EVENT_STREAM,
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


class _Stream:
    """One stream of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

    def __init__(
        self,
        database: Database,
        feed: Feed,
        scope: Scope,
        position: Position,
        with_text: bool,
        check: Callable[[], Awaitable[None]],
    ) -> None:
        self._database = database
        self._feed = feed
        self._scope = scope
        self._position = position
        self._with_text = with_text
        self._check = check

    async def events(self, heartbeat: float) -> AsyncIterator[bytes]:
        """Until the reader leaves, its key ends, or the server stops; never silent for longer than the heartbeat."""
        with self._feed.stream(self._scope.project), suppress(ProblemError):
            yield f"retry: {_RECONNECT_MILLISECONDS}\n".encode() + self._sign_of_life()
            heard = time.monotonic()
            while not self._feed.closing:
                news = self._feed.news()
                try:
                    await self._check()
                    page = await changes.read(
                        self._database, self._scope, self._position, _BATCH, with_text=self._with_text
                    )
                except Lost as error:
                    yield b"event: problem\ndata: " + render(_gone(error), "/changes").body + b"\n\n"
                    return
                except (DatabaseUnavailable, StatementTimeout):
                    yield b": waiting for the database\n\n"
                    page = Page([], self._position, more=False)
                for change in page.changes:
                    yield _event(_out(change, self._with_text))
                    heard = time.monotonic()
                self._position = page.position
                if not page.more:
                    await self._wait(news, min(heartbeat, _LOOK_ANYWAY_SECONDS))
                if time.monotonic() - heard >= heartbeat:
                    yield self._sign_of_life()
                    heard = time.monotonic()

    async def _wait(self, news: asyncio.Event, seconds: float) -> None:
        """Until there is news or the time is over, or the key has ended: then raises a problem."""
        until = time.monotonic() + seconds
        while not news.is_set() and not self._feed.closing and (left := until - time.monotonic()) > 0:
            await background.wait(news, min(left, _CHECK_SECONDS))
            with suppress(DatabaseUnavailable, StatementTimeout):  # nothing is read for the key then either
                await self._check()

    def _sign_of_life(self) -> bytes:
        """A comment, with the position: a reader that nothing concerned for days must not fall behind for that."""
        return f": alive\nid: {self._position}\n\n".encode()


def _event(out: dict[str, Any]) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (out["id"].encode(), out["event"].encode(), orjson.dumps(out))


async def _begin(database: Database, project: str, field: str, since: str | None) -> Position:
    if since is None:
        return await changes.newest(database)
    if since == "earliest":
        return await changes.earliest(database, project)
    position = positions.parse(since)
    if position is None:
        raise invalid(field, "is not a position of this API; use the id of an event, next of a page, or earliest")
    return position


def _gone(error: Lost) -> ProblemError:
    return ProblemError(GONE, f"{error}; list the memories, and begin anew without since")


def _out(change: Change, with_text: bool) -> dict[str, Any]:
    scope = change.scope
    out = {
        "id": str(change.position),
        "event": change.event,
        "project": scope.project,
        "memory_id": change.memory_id,
        "version": change.version,
        "user_id": scope.user_id,
        "agent_id": scope.agent_id,
        "app_id": scope.app_id,
        "run_id": scope.run_id,
        "occurred_at": change.occurred_at,
    }
    return out | {"memory": change.text} if with_text else out
