"""The built-in model, and the seed that a run is drawn from."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def seed() -> int:
    """What all of a run's choices are drawn from; MEMSYS_FAULTS_SEED repeats one."""
    return int(os.environ.get("MEMSYS_FAULTS_SEED") or secrets.randbelow(10**6))


@pytest.fixture(scope="session")
def model() -> Path:
    """The built-in embedding model, exported once into the cache."""
    cache = Path(os.environ.get("MEMSYS_CACHE") or Path.home() / ".cache" / "memsys")
    folder = cache / "models" / "all-MiniLM-L6-v2"
    subprocess.run([sys.executable, "-m", "memsys_api.embedding.export_minilm", str(folder)], check=True)
    return folder
