"""A bounded run over all parsers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .targets import SEEDS, TARGETS, run

SECONDS = int(os.environ.get("MEMSYS_FUZZ_SECONDS", "10"))


def test_every_target_has_seeds_and_takes_them() -> None:
    assert set(SEEDS) == set(TARGETS)
    for target, seeds in SEEDS.items():
        for seed in seeds:
            target(seed)
            run(bytes([TARGETS.index(target)]) + seed.encode())


@pytest.mark.timeout(SECONDS + 120)
def test_no_parser_fails_but_in_its_own_words(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", f"-max_total_time={SECONDS}", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    found = [f"{file.name}: {file.read_bytes()!r}" for file in tmp_path.iterdir()]
    assert done.returncode == 0, "\n".join([done.stdout[-4000:], done.stderr[-2000:], *found])
    runs = re.search(r"Done (\d+) runs", done.stderr)
    assert runs is not None, done.stderr[-2000:]
    assert int(runs[1]) > 100 * SECONDS, "the fuzzer hardly ran"
