"""Fits ranking weights to questions, to show how much the shipped ones leave: each conversation is scored with weights
fitted to the others. Nothing here runs in the product."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bench.pools import Pool

STEPS = 300
STEP_SIZE = 0.05
DECAY = 1e-3


def fit(pools: Sequence[Pool], *, columns: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return weights (0 outside of ``columns``) under which the evidence is likeliest to come first (softmax, Adam)."""
    width = pools[0].signals.shape[1]
    chosen = np.array(columns)
    examples = []
    for pool in pools:
        found = np.array([row for row, turn in enumerate(pool.turns) if turn in pool.question.evidence], np.intp)
        if len(found):
            examples.append((pool.signals[:, chosen] * 10.0, found))
    weights = np.zeros(len(chosen))
    momentum, spread = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, STEPS + 1):
        gradient = -DECAY * weights
        for matrix, rows in examples:
            logits = matrix @ weights
            likely = np.exp(logits - logits.max())
            gradient += (matrix[rows].mean(axis=0) - (likely / likely.sum()) @ matrix) / len(examples)
        momentum = 0.9 * momentum + 0.1 * gradient
        spread = 0.99 * spread + 0.01 * gradient**2
        weights += STEP_SIZE * (momentum / (1 - 0.9**step)) / (np.sqrt(spread / (1 - 0.99**step)) + 1e-8)
    full = np.zeros(width)
    full[chosen] = weights
    return full
