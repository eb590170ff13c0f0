"""Where the built-in model lies, what belongs to it, and how it is known to be whole. No numpy, no onnx."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

MODEL_NAME = "all-MiniLM-L6-v2"
DIMENSIONS = 384
GRAPH = "model.onnx"
TOKENIZER = "tokenizer.json"
MANIFEST = "manifest.json"
EXPORT_COMMAND = "python -m memsys_api.embedding.export_minilm"


class ModelMissing(Exception):
    """The files of the built-in model are not there, or not whole. The message says how to make them."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    graph: Path
    tokenizer: Path


def default_directory() -> Path:
    """``$MEMSYS_CACHE/models/all-MiniLM-L6-v2``, the cache being ``~/.cache/memsys`` when nothing else is said."""
    cache = os.environ.get("MEMSYS_CACHE")
    return (Path(cache) if cache else Path.home() / ".cache" / "memsys") / "models" / MODEL_NAME


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def locate(directory: str | Path | None) -> ModelFiles:
    """Return the files in ``directory``, or in its subfolder named after the model.

    Their sizes are compared with the manifest (the checksums are the export's business: hashing 90 MB at every
    start buys nothing). Raises :class:`ModelMissing`.
    """
    root = Path(directory) if directory else default_directory()
    if not (root / MANIFEST).is_file() and (root / MODEL_NAME / MANIFEST).is_file():
        root = root / MODEL_NAME
    remedy = f"run `{EXPORT_COMMAND} {root}` or point MEMSYS_MODEL_DIR at a folder made by it"
    try:
        files: dict[str, dict[str, object]] = json.loads((root / MANIFEST).read_text())["files"]
        for name in (GRAPH, TOKENIZER):
            expected, found = files[name]["bytes"], (root / name).stat().st_size
            if expected != found:
                raise ModelMissing(f"{root / name} has {found} bytes, its manifest says {expected}: {remedy}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelMissing(f"the built-in model {MODEL_NAME} is not in {root} ({error}): {remedy}") from error
    return ModelFiles(graph=root / GRAPH, tokenizer=root / TOKENIZER)
