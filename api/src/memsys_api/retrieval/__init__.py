"""Candidates in, ranking out. Pure: no store, no clock, no model; what they supply comes in as values."""

from memsys_api.retrieval.calibration import CALIBRATION_TEXTS, baseline
from memsys_api.retrieval.names import embedding_text
from memsys_api.retrieval.query import analyse
from memsys_api.retrieval.ranking import Weights, rank
from memsys_api.retrieval.signals import REACH, SIGNALS, signal_matrix
from memsys_api.retrieval.types import Candidate, Query, Ranked, Source, TimeRange

__all__ = [
    "CALIBRATION_TEXTS",
    "REACH",
    "SIGNALS",
    "Candidate",
    "Query",
    "Ranked",
    "Source",
    "TimeRange",
    "Weights",
    "analyse",
    "baseline",
    "embedding_text",
    "rank",
    "signal_matrix",
]
