"""What Prometheus gets to see of the tools."""

from __future__ import annotations

import time

import mcp_types
from fastmcp.exceptions import ToolError, ValidationError
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools.base import InputRequiredToolResult, ToolResult
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

import memsys
from memsys_mcp.away import is_away
from memsys_mcp.catalogue import TOOLS
from memsys_mcp.projects import ProjectError

BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class QueueMetrics:
    """The write queue's part."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.items = Gauge("memsys_mcp_queue_items", "Writes in the queue by state.", ("state",), registry=registry)
        self.outcomes = Counter(
            "memsys_mcp_queue_writes",
            "Writes by what became of them: queued, stored, parked (the API refused), held (for a person to review), "
            "full (not taken), unwritable (the disk did not take them), erased (what they say was erased meanwhile), "
            "expired (dropped after their time).",
            ("outcome",),
            registry=registry,
        )
        for outcome in ("queued", "stored", "parked", "held", "full", "unwritable", "erased", "expired"):
            self.outcomes.labels(outcome)


class Metrics:
    """One registry per server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.calls = Counter(
            "memsys_mcp_tool_calls",
            "Tool calls by outcome: ok, queued, refused (the caller's doing), unavailable (the API is away), failed.",
            ("tool", "outcome"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "memsys_mcp_tool_seconds",
            "Time a tool call takes.",
            ("tool",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.requests = Counter(
            "memsys_mcp_http_requests", "HTTP requests by status.", ("status",), registry=self.registry
        )
        self.queue = QueueMetrics(self.registry)
        for tool in sorted(TOOLS):  # present from the start, so that a rate has a beginning
            self.seconds.labels(tool)
            for outcome in ("ok", "refused", "unavailable", "failed"):
                self.calls.labels(tool, outcome)

    def render(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


class MetricsMiddleware(Middleware):
    """Counts and times every tool call. Comes first, so that it sees what the client sees."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def on_call_tool(
        self,
        context: MiddlewareContext[mcp_types.CallToolRequestParams],
        call_next: CallNext[mcp_types.CallToolRequestParams, ToolResult],
    ) -> ToolResult:
        name = context.message.name
        tool = name if name in TOOLS else "unknown"
        began = time.perf_counter()
        outcome = "failed"
        try:
            result = await call_next(context)
            outcome = outcome_of_result(result)
            return result
        except Exception as error:
            outcome = outcome_of(error)
            raise
        finally:
            self._metrics.seconds.labels(tool).observe(time.perf_counter() - began)
            self._metrics.calls.labels(tool, outcome).inc()


def outcome_of_result(result: ToolResult) -> str:
    """What came of a call that did not fail."""
    if isinstance(result, InputRequiredToolResult):
        return "asked"
    return "queued" if (result.structured_content or {}).get("queued") else "ok"


def outcome_of(error: Exception) -> str:
    """Whose doing a failed call is, by what it was raised from."""
    cause = error.__cause__
    if isinstance(error, ValidationError) or isinstance(cause, ProjectError):
        return "refused"
    if isinstance(cause, memsys.Unavailable) or (isinstance(cause, memsys.MemsysError) and is_away(cause)):
        return "unavailable"
    if isinstance(cause, memsys.ProblemError):
        return "refused" if cause.status < 500 else "failed"
    return "refused" if isinstance(error, ToolError) and cause is None else "failed"
