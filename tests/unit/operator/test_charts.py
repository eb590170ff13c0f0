"""What of the charts can be checked without rendering them: `contract/` renders and applies them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

import memsys_operator

ROOT = Path(__file__).resolve().parents[3]
CHARTS = ["memsys-operator", "memsys"]


def test_the_chart_carries_the_resource_definitions_as_they_are() -> None:
    source = {path.name: path.read_text() for path in ROOT.glob("crds/*.yaml")}
    copy = {path.name: path.read_text() for path in ROOT.glob("charts/memsys-operator/files/*.memsys.dev.yaml")}
    assert copy == source, "run charts/sync-crds"


@pytest.mark.parametrize("chart", CHARTS)
def test_the_default_values_are_valid_and_an_unknown_one_is_not(chart: str) -> None:
    folder = ROOT / "charts" / chart
    schema = Draft7Validator(json.loads((folder / "values.schema.json").read_text()))
    values = yaml.safe_load((folder / "values.yaml").read_text())
    assert list(schema.iter_errors(values)) == []
    assert list(schema.iter_errors({**values, "replicaCount": 2})) != []


def test_the_schema_knows_every_value_that_the_templates_use() -> None:
    folder = ROOT / "charts/memsys-operator"
    schema = json.loads((folder / "values.schema.json").read_text())["properties"]
    used = set()
    for template in (folder / "templates").iterdir():
        used |= set(re.findall(r"\.Values\.([a-zA-Z]+)", template.read_text()))
    assert used <= set(schema)
    assert set(yaml.safe_load((folder / "values.yaml").read_text())) == set(schema) - {"global"}


@pytest.mark.parametrize("chart", CHARTS)
def test_charts_have_the_version_of_the_operator(chart: str) -> None:
    meta = yaml.safe_load((ROOT / "charts" / chart / "Chart.yaml").read_text())
    assert meta["version"] == meta["appVersion"] == memsys_operator.__version__


@pytest.mark.parametrize("document", ["README.md", "values.yaml"])
def test_what_stays_cluster_wide_with_a_list_of_namespaces_is_named(document: str) -> None:
    folder = ROOT / "charts/memsys-operator"
    roles = (folder / "templates/rbac.yaml").read_text()
    always, _, _ = roles.partition("{{- if not .Values.watchNamespaces }}")
    resources = set(re.findall(r"resources: \[(\w+)\]", always))
    suffixes = set(re.findall(r"^kind: ClusterRole\nmetadata:\n  name: \{\{.*\}\}(-[-a-z]+)$", roles, re.MULTILINE))
    assert len(resources) == 3
    assert len(suffixes) == 3
    text = (folder / document).read_text()
    assert {name for name in resources | {f"…{suffix}" for suffix in suffixes} if name not in text} == set()
