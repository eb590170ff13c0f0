"""What the lock files hold. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

LOCKS = (
    "requirements-dev.txt",
    "api/requirements.txt",
    "api/requirements-model.txt",
    "mcp/requirements.txt",
    "operator/requirements.txt",
)
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*])?==([^\s;]+)")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}(?= |$)")


class Lock(NamedTuple):
    """The packages of one lock file by name, and what is wrong with it."""

    versions: dict[str, set[str]]
    problems: list[str]


def read(text: str) -> Lock:
    """Take a lock file apart."""
    versions: dict[str, set[str]] = defaultdict(set)
    problems = []
    for line in text.replace("\\\n", " ").splitlines():
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        pinned = _PINNED.match(line)
        if pinned is None:
            problems.append(f"is not pinned to one version: {line[:80]}")
            continue
        name = re.sub(r"[-_.]+", "-", pinned[1]).lower()
        versions[name].add(pinned[2])
        if not _HASH.search(line):
            problems.append(f"{name} has no hash")
    return Lock(dict(versions), problems)


def disagreements(locks: Mapping[str, Mapping[str, set[str]]]) -> list[str]:
    """Packages of which the first lock file, which has all of them, holds another version than one of the others."""
    whole, *parts = locks
    return [
        f"{part}: {name} {', '.join(sorted(versions))} is not among those of {whole}"
        for part in parts
        for name, versions in sorted(locks[part].items())
        if not versions <= locks[whole].get(name, set())
    ]
