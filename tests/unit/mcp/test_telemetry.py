"""Traces are off, and cost nothing, unless a receiver is named."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import memsys_api.telemetry
import memsys_mcp.telemetry

SCRIPT = """
import sys
from {package} import telemetry
telemetry.configure()
print(telemetry._tracer is not None, "opentelemetry.sdk.trace" in sys.modules)
"""


@pytest.mark.parametrize("package", ["memsys_api", "memsys_mcp"])
@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "False False"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SERVICE_NAME": "x", "OTEL_EXPORTER_OTLP_HEADERS": "a=b"},
            "False False",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, "False False"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, "True True"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, "True True"),
    ],
)
def test_only_an_endpoint_switches_them_on(package: str, variables: dict[str, str], says: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-c", SCRIPT.format(package=package)]
    done = subprocess.run(command, env={**kept, **variables}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == says


@pytest.mark.parametrize("telemetry", [memsys_api.telemetry, memsys_mcp.telemetry])
def test_a_span_that_is_off_is_one_object_for_all(telemetry: object) -> None:
    first = telemetry.span("a", count=1)  # type: ignore[attr-defined]
    assert first is telemetry.span("b")  # type: ignore[attr-defined]
    with first, first:
        assert telemetry.trace_id() is None  # type: ignore[attr-defined]
