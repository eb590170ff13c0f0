"""What similarity means under an embedder. Some models give two unrelated texts a cosine of 0, others of 0.7. Pure."""

from __future__ import annotations

import numpy as np

from memsys_api.ports import Vectors

CALIBRATION_TEXTS = (
    "The ferry to the island leaves at six every morning.",
    "Please rotate the database password before Friday.",
    "She bought three kilos of tomatoes at the market.",
    "My brother has been learning the cello since he was nine.",
    "The committee rejected the budget for the new library.",
    "A null pointer exception is thrown when the list is empty.",
    "They adopted a puppy from the shelter last week.",
    "The glacier has lost a third of its mass in forty years.",
    "He prefers tea without sugar.",
    "Interest rates were left unchanged by the central bank.",
    "The goalkeeper saved two penalties in the final.",
    "I am allergic to peanuts.",
)
"""Sentences that have nothing in common but being plain English."""


def baseline(vectors: Vectors) -> float:
    """Return the mean cosine of unrelated texts, given those of :data:`CALIBRATION_TEXTS`; within 0..0.95."""
    similarities = vectors @ vectors.T
    count = len(vectors)
    mean = (float(similarities.sum()) - count) / (count * (count - 1))
    return float(np.clip(mean, 0.0, 0.95))
