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

from memsys_api import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SERVICE = "memsys-api"
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


def span(name: str, **attributes: Attribute) -> AbstractContextManager[None]:
    """A span around a block of a request; nothing outside of one, so that what polls leaves no traces."""
    if _tracer is None or not trace.get_current_span().get_span_context().is_valid:
        return _OFF
    return _span(_tracer, name, None, SpanKind.INTERNAL, attributes)


def request(headers: Mapping[str, str]) -> AbstractContextManager[None]:
    """The span of a request, under the caller's own where it sends a ``traceparent``; :func:`describe` names it."""
    return _OFF if _tracer is None else _span(_tracer, "request", headers, SpanKind.SERVER, {})


def work(name: str, **attributes: Attribute) -> AbstractContextManager[None]:
    """The span of what the server does of its own accord: a trace of its own, unless within a request."""
    return _OFF if _tracer is None else _span(_tracer, name, None, SpanKind.INTERNAL, attributes)


def describe(name: str, *, failed: bool = False, **attributes: Attribute) -> None:
    """Name the current span, now that it is known what it is about and whether it was served."""
    if _tracer is not None:
        current = trace.get_current_span()
        current.update_name(name)
        current.set_attributes(attributes)
        if failed:
            current.set_status(trace.StatusCode.ERROR)


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


def trace_id() -> str | None:
    """The current trace, for the log."""
    if _tracer is None:
        return None
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None
