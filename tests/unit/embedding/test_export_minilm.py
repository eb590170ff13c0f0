"""The export is idempotent and leaves nothing that looks finished when it is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memsys_api.embedding import export_minilm, model_files
from memsys_api.embedding.model_files import GRAPH, MANIFEST, MODEL_NAME, TOKENIZER, ModelMissing, locate


def test_export_writes_once_and_repairs(tmp_path: Path) -> None:
    folder = tmp_path / MODEL_NAME
    assert export_minilm.export(folder) is True
    assert sorted(path.name for path in folder.iterdir()) == sorted([GRAPH, TOKENIZER, MANIFEST])
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["files"][GRAPH]["sha256"] == model_files.checksum(folder / GRAPH)
    assert export_minilm.export(folder) is False
    assert locate(tmp_path) == locate(folder)  # the folder itself, or the one it lies in

    with (folder / GRAPH).open("ab") as graph:
        graph.write(b"damage")
    with pytest.raises(ModelMissing, match="bytes"):
        locate(folder)
    assert export_minilm.export(folder) is True
    locate(folder)


def test_an_interrupted_export_counts_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(export_minilm, "_write_graph", fail)
    with pytest.raises(KeyboardInterrupt):
        export_minilm.export(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ModelMissing):
        locate(tmp_path)


def test_without_the_weights_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_minilm, "PACKAGE", "no_such_package")
    with pytest.raises(FileNotFoundError, match=r"requirements-model\.txt"):
        export_minilm.weights_folder()
