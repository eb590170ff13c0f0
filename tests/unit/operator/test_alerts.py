"""Alerts, their runbooks and the dashboard speak of metrics that the code has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry

import memsys_api.metrics
import memsys_operator.metrics  # noqa: F401 - registers the operator's
from memsys_mcp.metrics import Metrics

ROOT = Path(__file__).resolve().parents[3]
FILES = ROOT / "charts/memsys-operator/files"
RUNBOOKS = ROOT / "docs/runbooks"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
PANELS: list[dict[str, Any]] = json.loads((FILES / "dashboard.json").read_text())["panels"]
SAMPLES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def _sample_names(registry: CollectorRegistry) -> set[str]:
    """The names by which an expression may call what the registry holds."""
    return {family.name + suffix for family in registry.collect() for suffix in SAMPLES.get(family.type, ())}


KNOWN = _sample_names(REGISTRY) | _sample_names(memsys_api.metrics.REGISTRY) | _sample_names(Metrics().registry)


def metrics_of(expression: str) -> set[str]:
    return set(re.findall(r"\bmemsys_(?!dev_system\b)\w+", expression))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_uses_metrics_that_exist_waits_and_names_its_runbook(rule: dict[str, Any]) -> None:
    used = metrics_of(rule["expr"])
    assert used
    assert used <= KNOWN, f"unknown: {sorted(used - KNOWN)}"
    assert rule["for"]
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert {"summary", "description"} <= rule["annotations"].keys()
    assert rule["annotations"]["runbook"] == f"docs/runbooks/{rule['alert']}.md"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_runbook_with_meaning_look_and_deed(rule: dict[str, Any]) -> None:
    text = (RUNBOOKS / f"{rule['alert']}.md").read_text()
    assert text.startswith(f"# {rule['alert']}\n")
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert [part.splitlines()[0] for part in parts] == ["What it means", "What to look at", "What to do"]
    assert all(len(part.split()) > 10 for part in parts)
    assert metrics_of(text) <= KNOWN


def test_no_runbook_is_left_over() -> None:
    assert {path.stem for path in RUNBOOKS.glob("Memsys*.md")} == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_uses_metrics_that_exist(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        used = metrics_of(target["expr"])
        assert used
        assert used <= KNOWN, f"unknown: {sorted(used - KNOWN)}"
        assert target["datasource"]["uid"] == "${datasource}"


def test_panels_have_places_of_their_own() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in PANELS]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
