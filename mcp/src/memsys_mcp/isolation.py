"""Before every tool, resource and prompt: whose key, and which project."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import mcp_types
from fastmcp.exceptions import ToolError, ValidationError
from fastmcp.prompts.base import InputRequiredPromptResult, PromptResult
from fastmcp.resources.base import InputRequiredResourceResult, ResourceResult
from fastmcp.server.context import Context
from fastmcp.server.dependencies import get_http_request
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools.base import InputRequiredToolResult, ToolResult
from pydantic import ValidationError as PydanticValidationError

import memsys
from memsys_mcp import projects, remedies, telemetry, workspace
from memsys_mcp.binding import Bound, bind
from memsys_mcp.caller import SCOPE_KEY, Caller
from memsys_mcp.caller import request_id as current_request_id
from memsys_mcp.delegating import delegate, on_behalf
from memsys_mcp.patience import Patience
from memsys_mcp.projects import Ask, Isolation, ProjectError
from memsys_mcp.recent import Recent
from memsys_mcp.writequeue.queue import WriteQueue

WORKSPACE_SECONDS = 300.0  # how long a client's answer about its roots is believed
MAX_WORKSPACES = 10_000


class IsolationMiddleware(Middleware):
    """Binds :func:`client` to the caller, or refuses with the remedy."""

    def __init__(
        self,
        api: memsys.AsyncClient,
        patience: Patience,
        isolation: Isolation,
        fixed: str | None,
        *,
        address: str = "",
        service_key: str | None = None,
        stdio_key: str | None = None,
        directory: Path | None = None,
        queue: WriteQueue | None = None,
    ) -> None:
        """``service_key`` is the server's own, for those it vouches for; ``stdio_key`` is the caller's, on stdio.

        ``address`` is the API's, as people may see it.
        """
        self._api = api
        self._patience = patience
        self._isolation = isolation
        self._fixed = fixed
        self._address = address
        self._service_key = service_key
        self._stdio_key = stdio_key
        self._directory = directory
        self._queue = queue
        self._workspaces: Recent[str] = Recent(WORKSPACE_SECONDS, MAX_WORKSPACES)
        self._changes = 0

    async def on_notification(
        self, context: MiddlewareContext[Any], call_next: CallNext[mcp_types.Notification[Any, Any], Any]
    ) -> Any:
        if context.method == workspace.CHANGED and context.fastmcp_context is not None:
            self._changes += 1
            self._workspaces.forget(_session(context.fastmcp_context))
        return await call_next(context)

    async def on_call_tool(
        self,
        context: MiddlewareContext[mcp_types.CallToolRequestParams],
        call_next: CallNext[mcp_types.CallToolRequestParams, ToolResult],
    ) -> ToolResult:
        try:
            question = await self._bind(context)
            return InputRequiredToolResult(question) if question else await call_next(context)
        except ProjectError as error:
            raise ToolError(str(error), log_level=logging.INFO) from error
        except ValidationError as error:
            if isinstance(error.__cause__, PydanticValidationError):
                raise ToolError(remedies.explain_arguments(error.__cause__)) from None
            raise

    async def on_read_resource(
        self,
        context: MiddlewareContext[mcp_types.ReadResourceRequestParams],
        call_next: CallNext[mcp_types.ReadResourceRequestParams, ResourceResult],
    ) -> ResourceResult:
        try:
            question = await self._bind(context)
            return InputRequiredResourceResult(question) if question else await call_next(context)
        except ProjectError as error:
            raise ValidationError(str(error), log_level=logging.INFO) from error

    async def on_get_prompt(
        self,
        context: MiddlewareContext[mcp_types.GetPromptRequestParams],
        call_next: CallNext[mcp_types.GetPromptRequestParams, PromptResult],
    ) -> PromptResult:
        try:
            question = await self._bind(context)
            return InputRequiredPromptResult(question) if question else await call_next(context)
        except ProjectError as error:
            raise ValidationError(str(error), log_level=logging.INFO) from error

    async def _bind(self, context: MiddlewareContext[Any]) -> mcp_types.InputRequiredResult | None:
        """Bind the request to the API; or return the question whose answer is needed first."""
        assert context.fastmcp_context is not None, "requests have a context"
        caller = self._caller()
        current_request_id.set(caller.request_id)
        if self._queue is not None:
            self._queue.recognise(caller)
        choice = projects.choose(self._isolation, self._fixed, path=caller.path_project, header=caller.header_project)
        if choice is Ask.WORKSPACE:
            answer = await self._workspace(context.fastmcp_context)
            if isinstance(answer, mcp_types.InputRequiredResult):
                return answer
            choice = answer
        bind(Bound(self._reach(caller, choice), self._patience, caller, choice, self._address))
        return None

    def _reach(self, caller: Caller, project: str | None) -> memsys.AsyncClient:
        """The API as far as the caller reaches: by its own key, or by the server's on its behalf."""
        common = self._api.with_options(request_id=caller.request_id, traceparent=telemetry.traceparent())
        if caller.principal is None:
            return common.with_options(key=caller.key, project=project)
        assert self._service_key is not None, "nobody is vouched for without it"
        return on_behalf(common, self._service_key, delegate(caller.principal, project))

    def _caller(self) -> Caller:
        try:
            scope = get_http_request().scope
        except RuntimeError:  # stdio has no request
            return Caller(self._stdio_key)
        caller: Caller = scope[SCOPE_KEY]
        return caller

    async def _workspace(self, context: Context) -> str | mcp_types.InputRequiredResult:
        session = _session(context)
        if known := self._workspaces.get(session):
            return known
        changes = self._changes
        answer = await workspace.roots(context)
        if isinstance(answer, mcp_types.InputRequiredResult):
            return answer
        names = await workspace.projects_of(answer, local=context.transport == "stdio")
        if not names and self._directory is not None:
            here = await workspace.repository_project(self._directory)
            names = [here] if here else []
        project = projects.from_workspace(names)
        # An answer that a change overtook is good for this request, which came before it, and for no other.
        if changes == self._changes and workspace.stays(context):
            self._workspaces.put(session, project)
        return project


def _session(context: Context) -> str:
    """One process serves one client on stdio, and one SSE session is one client; stateless HTTP has no such thing."""
    return "stdio" if context.transport == "stdio" else context.session_id
