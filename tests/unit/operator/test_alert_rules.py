"""What the alerts and the dashboard make of samples: who is told of what, and who is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from prometheus_client import REGISTRY

from memsys_operator.controller import Controller
from memsys_operator.settings import Settings

from .promql import Sample, Vector, evaluate

CHART = Path(__file__).resolve().parents[3] / "charts/memsys-operator"
ALERTS: dict[str, str] = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
}
PANELS: dict[str, list[str]] = {
    panel["title"]: [target["expr"] for target in panel["targets"]]
    for panel in json.loads((CHART / "files/dashboard.json").read_text())["panels"]
}
SYSTEM = {"namespace": "n", "memsys_dev_system": "memory"}
WHOLE = {
    "memsys_sink_pending": {"sink": "graph"},
    "memsys_sink_parked": {"sink": "vectors"},
    "memsys_sink_lag_seconds": {"sink": "graph"},
    "memsys_inference_pending": {},
    "memsys_inference_parked": {},
    "memsys_inference_lag_seconds": {},
}
"""Gauges of what stands in the database, which every replica of the API shows alike."""


def of_api(metric: str, value: float, pod: str = "a", **labels: str) -> Sample:
    """A series of one replica of a system's API, as it is scraped."""
    return Sample(metric, {**SYSTEM, "pod": pod, **labels}, value)


def requests(route: str, status: int, rate: float) -> Sample:
    return of_api("memsys_api_requests_total", rate, route=route, method="GET", status=str(status))


def fires(alert: str, *samples: Sample, now: float = 0) -> bool:
    return bool(evaluate(ALERTS[alert], samples, now))


@pytest.mark.parametrize("alert", ALERTS)
def test_nothing_measured_raises_the_one_alert_of_absence(alert: str) -> None:
    assert fires(alert) is (alert == "MemsysOperatorDown")


@given(
    answered=st.integers(0, 1000),
    failed=st.integers(0, 1000),
    probes=st.integers(0, 100_000),
    unready=st.integers(0, 100_000),
    not_offered=st.integers(0, 1000),
)
def test_the_api_fails_when_more_than_one_in_twenty_of_its_callers_is_failed(
    answered: int, failed: int, probes: int, unready: int, not_offered: int
) -> None:
    samples = [
        requests("/memories", 200, answered),
        requests("/search", 503, failed),
        requests("/healthz", 200, probes),
        requests("/metrics", 200, probes),
        requests("/readyz", 503, unready),
        requests("/v1/exports/", 501, not_offered),
    ]
    callers = answered + failed + not_offered
    assert fires("MemsysApiErrors", *samples) is (callers > 0 and failed / callers > 0.05)
    (panel,) = PANELS["Server errors of the API"]
    assert evaluate(panel, samples) == {frozenset(SYSTEM.items()): failed}


@pytest.mark.parametrize(("sink", "alert"), [("graph", "MemsysGraphBehind"), ("vectors", "MemsysVectorsBehind")])
def test_each_sink_that_is_behind_has_an_alert_of_its_own(sink: str, alert: str) -> None:
    late = of_api("memsys_sink_lag_seconds", 601, sink=sink)
    assert {name for name in ALERTS if fires(name, late)} == {alert, "MemsysOperatorDown"}


def test_what_the_vector_index_did_not_take_is_told() -> None:
    assert fires("MemsysVectorsParked", of_api("memsys_sink_parked", 1, sink="vectors"))
    assert not fires("MemsysVectorsParked", of_api("memsys_sink_parked", 1, sink="graph"))


@pytest.mark.parametrize("expression", [*ALERTS.values(), *(one for panel in PANELS.values() for one in panel)])
def test_what_every_replica_shows_alike_is_not_counted_once_for_each(expression: str) -> None:
    if not any(metric in expression for metric in WHOLE):
        return

    def seen(*pods: str) -> Vector:
        return evaluate(
            expression, [of_api(name, 5000, pod, **labels) for name, labels in WHOLE.items() for pod in pods]
        )

    assert seen("a", "b", "c") == seen("a")


@given(seconds=st.integers(1, 3600), late=st.integers(0, 20_000))
def test_an_operator_is_told_of_when_it_is_late_by_its_own_measure(seconds: int, late: int) -> None:
    Controller(None, None, None, Settings(resync_seconds=seconds))  # type: ignore[arg-type]  # shows it as it starts
    allowed = REGISTRY.get_sample_value("memsys_operator_resync_allowed_seconds")
    assert allowed is not None
    series = [
        Sample("memsys_operator_resync_allowed_seconds", {"pod": "o"}, allowed),
        Sample("memsys_operator_last_resync_timestamp_seconds", {"pod": "o"}, 1_000_000),
    ]
    assert fires("MemsysOperatorNotResyncing", *series, now=1_000_000 + late) is (late > 3 * seconds + 30)


@pytest.mark.parametrize(("seconds", "valid"), [(1, True), (60, True), (3600, True), (3601, False), (0, False)])
def test_a_resync_is_at_most_an_hour_apart(seconds: int, valid: bool) -> None:
    schema = Draft7Validator(json.loads((CHART / "values.schema.json").read_text()))
    values = yaml.safe_load((CHART / "values.yaml").read_text()) | {"resyncSeconds": seconds}
    assert schema.is_valid(values) is valid
