"""The cluster of the user's kubeconfig: nothing is installed into it that it cannot run, and no test runs in it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e import conftest as e2e

ROOT = Path(__file__).resolve().parents[3]


def up(folder: Path, kind: str, *variables: str) -> tuple[list[str], str]:
    """`make up` for a cluster of a kind: the commands it gave the cluster until the first one failed, and its words."""
    calls, command = folder / "calls", folder / "cluster"
    calls.touch()
    command.write_text(f'#!/bin/sh\nif [ "$1" = kind ]; then echo {kind}; else echo "$1" >>{calls}; exit 1; fi\n')
    command.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "IMAGES_REGISTRY")}
    done = subprocess.run(
        ["make", "up", f"LOCAL={command}", *variables],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    return calls.read_text().split(), done.stderr


def test_up_names_the_registry_that_is_missing_before_it_builds_anything(tmp_path: Path) -> None:
    calls, said = up(tmp_path, "current")
    assert calls == []
    assert "make images push REGISTRY=" in said
    assert "make up CLUSTER=current IMAGES_REGISTRY=" in said


@pytest.mark.parametrize(
    ("kind", "variables"),
    [("node", []), ("kind", []), ("current", ["IMAGES_REGISTRY=registry.example.com/memsys"])],
)
def test_up_goes_on_where_the_images_can_be_had(tmp_path: Path, kind: str, variables: list[str]) -> None:
    calls, said = up(tmp_path, kind, *variables)
    assert calls == ["build"]
    assert "IMAGES_REGISTRY" not in said


@pytest.mark.parametrize(("wanted", "chosen"), [("current", "auto"), ("", "auto"), ("node", "node"), ("kind", "kind")])
def test_the_tests_have_a_cluster_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str, chosen: str
) -> None:
    monkeypatch.setenv("MEMSYS_STATE", str(tmp_path))
    monkeypatch.setenv("CLUSTER", wanted)
    assert e2e.own_cluster() == chosen


@pytest.mark.parametrize("wanted", ["auto", "node", "current"])
def test_the_tests_refuse_a_name_that_stands_for_somebodys_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setenv("MEMSYS_STATE", str(tmp_path))
    monkeypatch.setenv("CLUSTER", wanted)
    (tmp_path / e2e.CLUSTER).mkdir()
    (tmp_path / e2e.CLUSTER / "cluster.json").write_text(json.dumps({"kind": "current"}))
    with pytest.raises(RuntimeError, match=f"make down NAME={e2e.CLUSTER}"):
        e2e.own_cluster()
