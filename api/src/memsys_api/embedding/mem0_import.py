"""The only door to mem0 for embedders: it phones home and makes folders at import unless told otherwise before."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any


def embedder_factory() -> Any:
    """Return mem0's ``EmbedderFactory``, imported with telemetry off and its folder under the temporary directory."""
    os.environ["MEM0_TELEMETRY"] = "False"
    os.environ.setdefault("MEM0_DIR", str(Path(tempfile.gettempdir()) / "memsys-mem0"))
    from mem0.utils.factory import EmbedderFactory  # type: ignore[import-untyped]

    return EmbedderFactory
