"""Runs the targets under libFuzzer; the arguments are its own."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["memsys_api"]):
    from tests.fuzz import targets


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="memsys-fuzz-") as corpus:
        for target, seeds in targets.SEEDS.items():
            number = targets.TARGETS.index(target)
            for place, seed in enumerate(seeds):
                (Path(corpus) / f"{number}-{place}").write_bytes(bytes([number]) + seed.encode())
        atheris.Setup([sys.argv[0], "-timeout=10", "-rss_limit_mb=4096", *sys.argv[1:], corpus], targets.run)
        atheris.Fuzz()


main()
