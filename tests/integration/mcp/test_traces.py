"""Traces from the tool to the database, sent to a receiver that speaks OTLP, and holding nothing that anybody said."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import fastmcp
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .clients import Session, Target, http
from .conftest import ADMIN_KEY, run_api
from .processes import python_module, served, wait_until

SAID = "Zinnia keeps the quarterly numbers in the blue folder."
ASKED = "zinnia blue folder"


@dataclass
class Receiver:
    """An OpenTelemetry collector, as far as an exporter sees one."""

    spans: list[tuple[str, Span]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/traces", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.raw.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {item.key: item.value.string_value for item in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(names["service.name"], span) for span in scope.spans]
        return Response(ExportTraceServiceResponse().SerializeToString(), media_type="application/x-protobuf")

    def named(self, name: str) -> list[tuple[str, Span]]:
        return [(service, span) for service, span in self.spans if span.name == name]


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    found = Receiver()
    with served(found.app()) as url:
        yield found, url


async def test_one_trace_leads_from_the_tool_to_the_database_and_tells_nothing_that_was_said(
    receiver: tuple[Receiver, str], model_dir: Path, tmp_path: Path
) -> None:
    collector, url = receiver
    otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with (
        run_api(model_dir, tmp_path / "api.log", **otel) as api,
        python_module("memsys_mcp", tmp_path / "mcp.log", "/readyz", MEMSYS_API_URL=api.url, **otel) as server,
    ):
        async with fastmcp.Client(http(Target(server.url, api.url, ADMIN_KEY, "shop"))) as client:
            stored = await Session(client).call("add_memory", text=SAID, metadata={"source": "Zinnia"})
            found = await Session(client).call("search_memories", query=ASKED)
            assert found.data["results"][0]["memory"] == SAID
            refused = await Session(client).call("update_memory", memory_id="not-an-id-of-zinnia", text=SAID)
            assert refused.is_error
        wait_until(lambda: len(collector.named("POST /search")) == 1, "the spans of the search arrive", 20, server)
        wait_until(lambda: len(collector.named("tools/call search_memories")) == 1, "and that of the tool", 20, server)
    service, tool = collector.named("tools/call search_memories")[0]
    assert service == "memsys-mcp"
    within = {(name, span.name): span for name, span in collector.spans if span.trace_id == tool.trace_id}
    request = within["memsys-api", "POST /search"]
    assert request.parent_span_id == tool.span_id
    for inner in ("embed", "postgresql"):
        assert within["memsys-api", inner].parent_span_id == request.span_id, inner
    assert not [span.name for _, span in collector.spans if "healthz" in span.name or "readyz" in span.name]

    sent = b"".join(collector.raw).lower()
    secrets = [*SAID.lower().rstrip(".").split(), ADMIN_KEY.lower(), stored.data["results"][0]["id"]]
    for word in (word for word in secrets if len(word) > 4):
        assert word.encode() not in sent, f"{word!r} left the process"
    logged = [json.loads(line) for line in (tmp_path / "api.log").read_text().splitlines() if '"trace_id"' in line]
    assert tool.trace_id.hex() in {entry["trace_id"] for entry in logged}
