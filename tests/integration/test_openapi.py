"""The API does what its own description says, whatever it is sent: no error of the server's own, no undeclared answer.

``MEMSYS_OPENAPI_REQUESTS`` makes it more requests than the usual few thousand; `make test-full` makes them 100,000, in
pieces of their own seeds, side by side. What a piece was answered stands in its log while it runs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

USUAL = 2_500
"""What the coverage phase makes of the description, at least; it is the same every time."""
REQUESTS = int(os.environ.get("MEMSYS_OPENAPI_REQUESTS", USUAL))
PIECES = max(1, REQUESTS // 10_000)  # what makes them up keeps them all in memory, a gigabyte for 10,000
PIECE = -(-REQUESTS // PIECES)
CONFIG = Path(__file__).with_name("support") / "schemathesis.toml"
HOOKS = CONFIG.with_name("schemathesis_hooks.py")
METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture
def described(host: str) -> dict[str, Any]:
    document: dict[str, Any] = httpx.get(f"{host}/openapi.json", timeout=60).json()
    return document


def test_every_route_says_what_it_does_and_every_error_it_can_answer(described: dict[str, Any]) -> None:
    missing = []
    for path, operations in described["paths"].items():
        for method in METHODS & operations.keys():
            operation = operations[method]
            name = f"{method.upper()} {path}"
            if not operation.get("summary") or not (
                operation.get("description") or "Not supported" in operation["summary"]
            ):
                missing.append(f"{name}: summary and description")
            if path not in ("/healthz", "/readyz", "/metrics"):
                missing += [
                    f"{name}: {s}"
                    for s in ("400", "401", "403", "413", "500", "503")
                    if s not in operation["responses"]
                ]
            described_path = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            if described_path != set(re.findall(r"\{(\w+)\}", path)):
                missing.append(f"{name}: parameters of the path")
    assert missing == []


@pytest.mark.timeout(max(600, PIECE // 4))
@pytest.mark.parametrize("seed", range(20, 20 + PIECES))
def test_no_request_finds_a_contradiction(
    host: str, key: str, described: dict[str, Any], tmp_path: Path, seed: int
) -> None:
    operations = sum(len(METHODS & operations.keys()) for operations in described["paths"].values())
    log = tmp_path / "schemathesis.log"
    with log.open("wb") as out:
        ran = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG, "run", f"{host}/openapi.json",
                "--header", f"Authorization: Bearer {key}", "--exclude-tag", "mem0: not supported",
                "--mode", "all", "--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color",
                "--workers", "1",  # in threads, Hypothesis moves the recursion limit under other threads' parsers
                "--seed", str(seed), "--generation-database", "none",
                "--max-examples", str(max(5, (PIECE - USUAL) // operations)),
            ],
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS)},
            stdout=out,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    said = log.read_text()
    made = re.search(r"(\d+) generated", said)
    assert ran.returncode == 0, said[-20_000:]
    assert made
    assert int(made[1]) >= PIECE
