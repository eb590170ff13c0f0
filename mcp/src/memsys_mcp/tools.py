"""The five tools. Each is a thin line from typed arguments to one or two API calls to a compact answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.tools.base import ToolResult
from mcp_types import ToolAnnotations
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints

import memsys
from memsys_mcp import remedies, views
from memsys_mcp.away import is_away
from memsys_mcp.binding import bound, client
from memsys_mcp.schemas import AsWritten
from memsys_mcp.wording import worded
from memsys_mcp.writequeue.queue import NotKept, WriteQueue

MAX_TEXT = 32_000
MAX_METADATA_BYTES = 64 * 1024
"""Both as the API has them: what waits for it in the queue must not be refused by it for its size."""
ScopeId = Annotated[str, StringConstraints(min_length=1, max_length=256)]
UserId = Annotated[ScopeId | None, Field(description="The user it is about.")]
AgentId = Annotated[ScopeId | None, Field(description="The agent it belongs to.")]
AppId = Annotated[ScopeId | None, Field(description="The app it belongs to.")]
RunId = Annotated[ScopeId | None, Field(description="The session or run it comes from.")]
MemoryId = Annotated[UUID, Field(description="The id as given by search_memories, list_memories or add_memory.")]
TokenBudget = Annotated[
    int,
    Field(description="About how many tokens the answer may take. Lower it to save context.", ge=100, le=50_000),
]


def _moment(value: object) -> datetime | None:
    """A time as somebody wrote it. A number is none: ``2024`` would be a second of the year 1970."""
    if value is None:
        return None
    written = value.strip().upper() if isinstance(value, str) else ""
    try:
        if written.isdecimal() and len(written) != len("YYYYMMDD"):
            raise ValueError("no date has so many digits")
        return datetime.fromisoformat(written)
    except ValueError:
        raise ValueError("give a date or a time in ISO 8601, such as 2024-01-15 or 2024-01-15T10:30:00Z") from None


Timestamp = Annotated[
    datetime | None,
    BeforeValidator(_moment),
    Field(description="When it happened, ISO 8601; UTC if it has no offset; now if left out."),
]


def _small(value: dict[str, Any] | None) -> dict[str, Any] | None:
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass"))
    if size > MAX_METADATA_BYTES:
        raise ValueError(
            f"must not be larger than {MAX_METADATA_BYTES} bytes as JSON; store less, or in several memories"
        )
    return value


Metadata = Annotated[
    dict[str, Any] | None,
    Field(description="Facts about the memory for programs, for example {'source': 'PR 12'}."),
    AfterValidator(_small),
]

ADD = """Remember something for later sessions.

Use it when you learn something that will still matter: a preference, a decision and its reason, a fact about the
project, how a problem was solved. One fact per call, in words that make sense on their own, with names instead of
"he" or "it". Not for secrets, and not for what the code or its documentation already says."""
SEARCH = """Recall what is remembered about a question, by meaning, words and relations; best first.

Use it before you answer or begin work, when earlier sessions may have settled something. Ask in plain language and
name the people and things meant. To see everything rather than what fits a question, use list_memories."""
LIST = """Page through everything that is remembered, without a question.

Use it for an overview, or to find what to clean up. To answer a question, search_memories is better and shorter."""
UPDATE = """Correct a memory that is wrong or out of date. It keeps its id, and its history keeps the old text.

Find the id with search_memories first. For something new, use add_memory."""
DELETE = """Forget one memory.

Use it when the user asks to forget something, or when a memory is wrong and there is nothing to correct it to; if
there is, use update_memory. Find the id with search_memories first."""


def register(server: FastMCP[Any], queue: WriteQueue | None = None) -> None:
    """Add the tools to a server; with a ``queue``, adds are kept there while the API is away."""

    @server.tool(
        description=ADD,
        annotations=_hints("Add a memory", read_only=False, destructive=False, idempotent=False),
        output_schema=_schema(views.AddAnswer),
    )
    @worded(ToolError, patient=False)
    async def add_memory(
        text: Annotated[str, Field(description="What to remember.", min_length=1, max_length=MAX_TEXT)],
        speaker: Annotated[ScopeId | None, Field(description="Who said it, where that matters.")] = None,
        timestamp: Timestamp = None,
        user_id: UserId = None,
        agent_id: AgentId = None,
        app_id: AppId = None,
        run_id: RunId = None,
        metadata: Metadata = None,
        infer: Annotated[
            bool | None,
            Field(description="True: let a language model pick out the facts. False: store the exact words."),
        ] = None,
    ) -> ToolResult:
        said_by = {} if speaker is None else {"name": speaker}
        if queue is not None and timestamp is None:
            timestamp = datetime.now(UTC)  # it may be stored long after it was said
        request: dict[str, Any] = {
            "content": [{"role": "user", "content": text, **said_by}],
            "user_id": user_id,
            "agent_id": agent_id,
            "app_id": app_id,
            "run_id": run_id,
            "metadata": metadata,
            "infer": infer,
            "timestamp": _aware(timestamp),
        }
        call = client().add(**request, idempotency_key=bound().idempotency_key)
        try:
            stored = await bound().patience.wait(call)
        except memsys.MemsysError as error:
            if queue is None or not is_away(error):
                raise
            return await _kept(queue, request, error)
        answer = views.AddAnswer(
            results=[views.added(result, text) for result in stored.results],
            held=views.held(stored.held[0]) if stored.held else None,
        )
        return _result(views.add_text(answer), answer)

    @server.tool(
        description=SEARCH,
        annotations=_hints("Search memories", read_only=True),
        output_schema=_schema(views.SearchAnswer),
    )
    @worded(ToolError)
    async def search_memories(
        query: Annotated[
            str, Field(description="A question or topic in plain language.", min_length=1, max_length=4000)
        ],
        limit: Annotated[int, Field(description="At most this many memories.", ge=1, le=100)] = 10,
        token_budget: TokenBudget = 2000,
        user_id: UserId = None,
        agent_id: AgentId = None,
        app_id: AppId = None,
        run_id: RunId = None,
    ) -> ToolResult:
        found = await client().search(
            query, user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id, top_k=limit
        )
        hits = views.fit([views.hit(result) for result in found.results], token_budget)
        answer = views.SearchAnswer(results=hits, left_off=len(found.results) - len(hits))
        return _result(views.search_text(answer), answer)

    @server.tool(
        description=LIST,
        annotations=_hints("List memories", read_only=True),
        output_schema=_schema(views.ListAnswer),
    )
    @worded(ToolError)
    async def list_memories(
        limit: Annotated[int, Field(description="At most this many memories.", ge=1, le=100)] = 20,
        cursor: Annotated[
            str | None, Field(description="next_cursor of the page before.", min_length=1, max_length=1000)
        ] = None,
        token_budget: TokenBudget = 4000,
        user_id: UserId = None,
        agent_id: AgentId = None,
        app_id: AppId = None,
        run_id: RunId = None,
    ) -> ToolResult:
        while True:
            page = await client().list(
                user_id=user_id, agent_id=agent_id, app_id=app_id, run_id=run_id, limit=limit, cursor=cursor
            )
            kept = views.fit([views.remembered(memory) for memory in page.results], token_budget)
            if len(kept) == len(page.results):
                break
            # The next page must begin where this one was cut, and only the API can make a cursor: it is asked for a
            # page of that length. What it then gives is what counts, for meanwhile a memory may have been deleted.
            limit = min(len(kept), limit - 1)  # one at least fits; so this ends
        answer = views.ListAnswer(results=kept, next_cursor=page.next_cursor)
        return _result(views.list_text(answer), answer)

    @server.tool(
        description=UPDATE,
        annotations=_hints("Update a memory", read_only=False, destructive=True, idempotent=False),
        output_schema=_schema(views.Changed),
    )
    @worded(ToolError)
    async def update_memory(
        memory_id: MemoryId,
        text: Annotated[
            str, Field(description="The whole new text, not a change to it.", min_length=1, max_length=MAX_TEXT)
        ],
        metadata: Metadata = None,
    ) -> ToolResult:
        memory = await client().update(memory_id, text=text, metadata=metadata, idempotency_key=bound().idempotency_key)
        answer = views.Changed(id=str(memory.id), event="UPDATE", version=memory.version)
        return _result(f"Updated to version {memory.version} [id {memory.id}]", answer)

    @server.tool(
        description=DELETE,
        annotations=_hints("Delete a memory", read_only=False, destructive=True, idempotent=True),
        output_schema=_schema(views.Changed),
    )
    @worded(ToolError)
    async def delete_memory(memory_id: MemoryId) -> ToolResult:
        await client().delete(memory_id)
        return _result(f"Deleted [id {memory_id}]", views.Changed(id=str(memory_id), event="DELETE"))


async def _kept(queue: WriteQueue, request: dict[str, Any], error: memsys.MemsysError) -> ToolResult:
    """The answer for an add that waits for the API; it says so, since nothing is stored yet."""
    try:
        waiting = await queue.keep(bound(), request)
    except NotKept as refusal:
        raise ToolError(f"{remedies.explain(error, bound().address)} {refusal}") from error
    answer = views.AddAnswer(results=[], queued=views.Queued(waiting=waiting))
    return _result(views.add_text(answer), answer)


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _hints(title: str, *, read_only: bool, destructive: bool = False, idempotent: bool = True) -> ToolAnnotations:
    return ToolAnnotations(
        title=title,
        read_only_hint=read_only,
        destructive_hint=destructive,
        idempotent_hint=idempotent,
        open_world_hint=False,
    )


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(mode="serialization", schema_generator=AsWritten)


def _result(text: str, answer: BaseModel) -> ToolResult:
    return ToolResult(content=text, structured_content=answer.model_dump(mode="json", exclude_none=True))
