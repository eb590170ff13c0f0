"""What README and docs name must exist: make targets, files, samples, the version."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

import memsys
import memsys_api
import memsys_mcp
import memsys_operator

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("[!.]*/README.md")])
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
CODE = re.compile(r"```(?:console|bash|sh)\n(.*?)```|`([^`\n]+)`", re.DOTALL)
VARIABLE = re.compile(r"[A-Z_]+=")


def commands(document: Path) -> list[str]:
    """Return every code span and every line of every shell block."""
    return [line for block, span in CODE.findall(document.read_text()) for line in (block or span).splitlines()]


def named_targets(command: str) -> set[str]:
    """Return the goals of each `make …` in a command."""
    goals: set[str] = set()
    for call in re.findall(r"(?:^|[\s(;&\"])make ([^;&|)#\"`]*)", command):
        goals |= {word for word in call.split() if not word.startswith("-") and not VARIABLE.match(word)}
    return {goal for goal in goals if re.fullmatch(r"[a-z0-9-]+", goal)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_exist(document: Path) -> None:
    named = set().union(*(named_targets(command) for command in commands(document)))
    assert named <= TARGETS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    broken = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_block_of_commands_sets_what_it_uses(document: Path) -> None:
    for block, _ in CODE.findall(document.read_text()):
        known = {"HOME", "PATH", "PWD"}
        for line in block.splitlines():
            if "make -s env" in line:
                known |= set(re.findall(r"export ([A-Z_]+)=", (ROOT / "demo/env.sh").read_text()))
            used = set(re.findall(r"\$\{?([A-Z_]+)", line))
            assert used <= known, f"{line!r} uses {sorted(used - known)}, which no line before it sets"
            known |= set(re.findall(r"(?:^|[\s;])([A-Z_]+)=", line))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_merge_was_left_undecided(document: Path) -> None:
    assert not re.search(r"^(<{7}|>{7}) ", document.read_text(), re.MULTILINE)


def test_the_readme_has_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert re.search(r"^make up\b", readme, re.MULTILINE)
    assert re.search(r"^make test\b", readme, re.MULTILINE)


def test_one_version_everywhere() -> None:
    version = memsys.__version__
    assert {memsys_api.__version__, memsys_mcp.__version__, memsys_operator.__version__} == {version}
    for chart in ROOT.glob("charts/*/Chart.yaml"):
        document = yaml.safe_load(chart.read_text())
        assert document["version"] == version, chart
        assert document["appVersion"] == version, chart
    assert version in (ROOT / "CHANGELOG.md").read_text()


def test_no_lock_file_names_an_address() -> None:
    for lock in [*ROOT.glob("requirements*.txt"), *ROOT.glob("*/requirements*.txt")]:
        assert "://" not in lock.read_text(), lock


def test_every_package_from_npm_is_pinned_by_hash_and_by_no_address() -> None:
    locks = [*ROOT.glob("tests/npm/*/package-lock.json")]
    assert locks
    for lock in locks:
        packages = json.loads(lock.read_text())["packages"]
        del packages[""]  # the set itself
        assert packages, lock
        for name, package in packages.items():
            assert package["integrity"].startswith("sha512-"), f"{lock}: {name}"
            assert "resolved" not in package, f"{lock}: {name}"
