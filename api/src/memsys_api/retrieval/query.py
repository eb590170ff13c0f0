"""Reads a question: what it names and the time it speaks of. Pure."""

from __future__ import annotations

from datetime import datetime

from memsys_api.extraction import query_entities
from memsys_api.normal_forms import composed
from memsys_api.retrieval.times import read_time
from memsys_api.retrieval.types import Query


def analyse(query: str, *, now: datetime) -> Query:
    """Return what ``query`` asks for. ``now`` (aware) is what "last week" is seen from."""
    query = composed(query)
    return Query(text=query, entities=tuple(query_entities(query)), time_range=read_time(query, now))
