"""The steps of the release workflow that need no registry, run as the workflow has them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import memsys

ROOT = Path(__file__).resolve().parents[3]
WORKFLOW = ROOT / ".github/workflows/release.yml"
STEPS: list[dict[str, Any]] = yaml.safe_load(WORKFLOW.read_text())["jobs"]["publish"]["steps"]
RUNS = {step["name"]: step["run"] for step in STEPS if "run" in step}


def run(step: str, **environment: str) -> int:
    """Run a step at the root of the checkout, with the shell that the workflow's runner uses."""
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", RUNS[step]], cwd=ROOT, env={**os.environ, **environment}, check=False
    ).returncode


@pytest.mark.parametrize(
    ("tag", "taken"), [(f"v{memsys.__version__}", True), ("v999.0.0", False), (f"v{memsys.__version__}.1", False)]
)
def test_a_tag_is_taken_when_it_is_the_version(tag: str, taken: bool) -> None:
    assert (run("The tag is the version", GITHUB_REF_NAME=tag) == 0) is taken


def test_what_is_packaged_are_the_charts_and_all_of_them(tmp_path: Path) -> None:
    calls, helm = tmp_path / "calls", tmp_path / "helm"
    helm.write_text(f'#!/bin/sh\nfor last; do :; done\ntest -f "$last/Chart.yaml" && echo "$last" >>{calls}\n')
    helm.chmod(0o755)
    assert run("Package the charts", PATH=f"{tmp_path}:{os.environ['PATH']}") == 0
    packaged = {(ROOT / line).resolve() for line in calls.read_text().splitlines()}
    assert packaged == {path.parent for path in ROOT.glob("charts/*/Chart.yaml")}


def test_nothing_is_pushed_before_the_charts_are_packaged() -> None:
    names = list(RUNS)
    pushing = [name for name, script in RUNS.items() if "push" in script]
    assert pushing
    assert names.index("Package the charts") < min(map(names.index, pushing))
