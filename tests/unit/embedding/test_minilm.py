"""The built-in model against published values, and what it does with long texts and odd ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from memsys_api.embedding import model_files
from memsys_api.embedding.export_minilm import export
from memsys_api.embedding.minilm import WINDOW, MiniLM
from memsys_api.embedding.model_files import ModelMissing, default_directory, locate


@pytest.fixture(scope="module")
def model() -> MiniLM:
    export(default_directory())
    return MiniLM(locate(None), threads=2)


# Sentence Transformers documentation, "Semantic Textual Similarity", output for all-MiniLM-L6-v2
# (docs/sentence_transformer/usage/semantic_textual_similarity.rst).
PUBLISHED = [
    ("The new movie is awesome", "The dog plays in the garden", 0.0543),
    ("The new movie is awesome", "The new movie is so great", 0.8939),
    ("The new movie is awesome", "A woman watches TV", -0.0502),
    ("The cat sits outside", "The dog plays in the garden", 0.2838),
    ("The cat sits outside", "The new movie is so great", -0.0029),
    ("The cat sits outside", "A woman watches TV", 0.1310),
    ("A man is playing guitar", "The dog plays in the garden", 0.2277),
    ("A man is playing guitar", "The new movie is so great", -0.0136),
    ("A man is playing guitar", "A woman watches TV", -0.0327),
    ("The weather is lovely today.", "It's so sunny outside!", 0.6660),
    ("The weather is lovely today.", "He drove to the stadium.", 0.1046),
    ("It's so sunny outside!", "He drove to the stadium.", 0.1411),
]


@pytest.mark.parametrize(("one", "other", "published"), PUBLISHED)
def test_agrees_with_published_similarities(model: MiniLM, one: str, other: str, published: float) -> None:
    first, second = model.encode([one, other])
    assert float(first @ second) == pytest.approx(published, abs=1e-3)


def test_rows_do_not_depend_on_what_they_are_batched_with(model: MiniLM) -> None:
    texts = ["short", "a rather longer sentence about the weather in the north " * 8, "", "été 北京 🙂", "x" * 500]
    together = model.encode(texts)
    assert together.shape == (5, model_files.DIMENSIONS)
    assert together.dtype == np.float32
    for text, row in zip(texts, together, strict=True):
        np.testing.assert_allclose(model.encode([text])[0], row, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_the_end_of_a_long_text_counts(model: MiniLM) -> None:
    filler = "The committee met again to discuss the budget of the library. " * 60  # about 3 windows
    secret = "My sister keeps penguins in Antarctica. " * 12
    query, plain, ending = model.encode(["penguins in Antarctica", filler, filler + secret])
    assert float(query @ ending) > float(query @ plain) + 0.05


def test_a_text_of_one_window_is_read_whole(model: MiniLM) -> None:
    words = ["word"] * (WINDOW - 2)  # [CLS] and [SEP] take two places
    full = model.encode([" ".join(words)])
    assert full.shape == (1, model_files.DIMENSIONS)
    assert not np.allclose(full, model.encode([" ".join([*words[:-1], "penguin"])]), atol=1e-4)


def test_missing_files_name_the_command(tmp_path: object) -> None:
    with pytest.raises(ModelMissing, match=r"python -m memsys_api\.embedding\.export_minilm .* MEMSYS_MODEL_DIR"):
        locate(str(tmp_path))


def test_loading_the_model_leaves_no_trace_of_a_usage_report(model: MiniLM, tmp_path: Path) -> None:
    """ONNX Runtime keeps a device id under the home folder before it reports usage; with reports off it makes none."""
    program = "\n".join(
        [
            "import sys",
            "from memsys_api.embedding.minilm import MiniLM",
            "from memsys_api.embedding.model_files import locate",
            "MiniLM(locate(sys.argv[1]), threads=1)",
        ]
    )
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program, str(default_directory())], env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []
