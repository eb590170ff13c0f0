"""Traces by OpenTelemetry, off unless ``OTEL_EXPORTER_OTLP_ENDPOINT`` says where to send them.

Attributes are names, counts and outcomes: never the text of a memory, a query, a key or a token. The provider is this
module's own and not the process's, so that no library adds spans of its own with more in them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from memsys_mcp import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SERVICE = "memsys-mcp"
Attribute = str | int | float | bool

_OFF: AbstractContextManager[None] = nullcontext()
_PROPAGATOR = TraceContextTextMapPropagator()
_provider: TracerProvider | None = None
_tracer: trace.Tracer | None = None


def configure() -> None:
    """Begin to trace if the environment names a receiver. Its other ``OTEL_…`` variables are the SDK's own."""
    global _provider, _tracer
    if not any(os.environ.get(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT") for kind in ("", "TRACES_")):
        return
    # Imported only now: a server that does not trace pays nothing, not even for the import.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME") or SERVICE
    _provider = TracerProvider(resource=Resource.create({"service.name": name, "service.version": __version__}))
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = _provider.get_tracer(SERVICE, __version__)


def shutdown() -> None:
    """Send what is left."""
    if _provider is not None:
        _provider.shutdown()


def is_on() -> bool:
    """Whether anything is traced."""
    return _tracer is not None


def span(
    name: str, *, carrier: Mapping[str, str] | None = None, kind: SpanKind = SpanKind.INTERNAL, **attributes: Attribute
) -> AbstractContextManager[None]:
    """A span around a block; ``carrier`` holds the headers of the request that caused it."""
    return _OFF if _tracer is None else _span(_tracer, name, carrier, kind, attributes)


@contextmanager
def _span(
    tracer: trace.Tracer, name: str, carrier: Mapping[str, str] | None, kind: SpanKind, attributes: dict[str, Attribute]
) -> Iterator[None]:
    parent = None if carrier is None else _PROPAGATOR.extract(carrier)
    # An exception's message may quote what a client sent: the type has to be enough.
    with tracer.start_as_current_span(
        name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_attribute("error.type", type(error).__name__)
            current.set_status(trace.StatusCode.ERROR)
            raise


def traceparent() -> str | None:
    """The current span as a header for the next service (W3C Trace Context); ``None`` outside of one."""
    if _tracer is None:
        return None
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


def trace_id() -> str | None:
    """The current trace, for the log."""
    if _tracer is None:
        return None
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None
