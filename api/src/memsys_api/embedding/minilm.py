"""all-MiniLM-L6-v2 run by ONNX Runtime in this process: texts in, unit vectors out. Synchronous."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

# Read as the library loads: its builds report usage to their maker unless told not to. Nothing leaves the cluster.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime  # type: ignore[import-untyped]
from tokenizers import Encoding, Tokenizer

from memsys_api.embedding.model_files import DIMENSIONS, ModelFiles
from memsys_api.ports import Vectors

WINDOW = 256  # word pieces the model was trained to read at once, [CLS] and [SEP] included
OVERLAP = 32  # word pieces that neighbouring windows of a long text share, so that no phrase is cut in two
BATCH_TOKENS = 256  # padded tokens per run: a few texts of one length; more wait for the longest and leave the cache


class MiniLM:
    """The loaded model.

    A text longer than :data:`WINDOW` is read in overlapping windows, and its vector is the mean of theirs, each
    weighted by its tokens: the end of a long text counts as much as its beginning, where sentence-transformers
    would cut it off. Texts that fit give exactly the vector of the published model.
    """

    def __init__(self, files: ModelFiles, *, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Idle threads that spin would burn the CPU quota of the whole pod between two requests.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(files.graph), options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(files.tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(WINDOW, stride=OVERLAP)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector per text, shape ``(len(texts), 384)``, float32."""
        windows: list[Encoding] = []
        owners: list[int] = []
        for owner, encoding in enumerate(self._tokenizer.encode_batch_fast(list(texts))):
            for window in (encoding, *encoding.overflowing):
                windows.append(window)
                owners.append(owner)
        vectors = np.empty((len(windows), DIMENSIONS), np.float32)
        for batch in _batches([len(window) for window in windows]):
            vectors[batch] = self._run([windows[i].ids for i in batch])
        if len(windows) == len(texts):
            return vectors
        return _mean_by_owner(vectors, owners, [len(window) for window in windows], len(texts))

    def _run(self, ids: list[list[int]]) -> Vectors:
        length = max(map(len, ids))
        tokens = np.zeros((len(ids), length), np.int64)
        mask = np.zeros((len(ids), length), np.int64)
        for row, row_ids in enumerate(ids):
            tokens[row, : len(row_ids)] = row_ids
            mask[row, : len(row_ids)] = 1
        (vectors,) = self._session.run(None, {"input_ids": tokens, "attention_mask": mask})
        result: Vectors = vectors
        return result


def _batches(lengths: Sequence[int]) -> Iterator[npt.NDArray[np.intp]]:
    """Yield indices in batches of alike lengths, each of at most :data:`BATCH_TOKENS` padded tokens."""
    order = np.argsort(np.asarray(lengths), kind="stable")
    start = 0
    for end in range(1, len(order) + 1):
        # The longest of a sorted batch is its last: would one more text be too much?
        if end == len(order) or (end - start + 1) * lengths[order[end]] > BATCH_TOKENS:
            yield order[start:end]
            start = end


def _mean_by_owner(vectors: Vectors, owners: Sequence[int], weights: Sequence[int], texts: int) -> Vectors:
    total = np.zeros((texts, vectors.shape[1]), np.float32)
    np.add.at(total, np.asarray(owners), vectors * np.asarray(weights, np.float32)[:, None])
    unit: Vectors = total / np.linalg.norm(total, axis=1, keepdims=True)
    return unit
