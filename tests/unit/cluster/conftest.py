"""Makes `localcluster` and `imagebuilder` importable: they run from their folders, not from an installed package."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "cluster"), str(ROOT / "images")]
