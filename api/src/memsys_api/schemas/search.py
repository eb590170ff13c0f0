"""Questions and what answers them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from memsys_api.schemas.fields import MAX_RESULTS, WHOLE, Metadata, Moment, Scoped, Text
from memsys_api.schemas.memories import MemoryOut


class SearchRequest(Scoped):
    """A question, and where to look."""

    query: Text
    filters: Metadata | None = Field(
        None,
        description="Only memories for which all of these hold: one of the four ids, `created_at`, `updated_at` or a "
        "metadata field, equal to a value or compared by eq, ne, gt, gte, lt, lte, in, nin, contains, icontains; "
        "`*` is any value; AND, OR and NOT take lists of filters.",
    )
    top_k: Annotated[int, Field(strict=True, ge=1, le=MAX_RESULTS), WHOLE] = Field(
        10, description="How many results at most."
    )
    threshold: float | None = Field(None, strict=True, ge=0, le=1, description="Leave out results that score less.")
    explain: bool = Field(False, strict=True, description="Whether to say what each score is made of.")
    quarantined: bool = Field(
        True,
        strict=True,
        description="Whether to answer with memories that look suspect: their provenance says `quarantine`.",
    )
    as_of: Moment | None = Field(None, description="Search what was known at this moment.")
    rerank: bool | None = Field(
        None,
        strict=True,
        description="Whether a reranker orders the best results; null: if this server has one. Where it has none, "
        "true is refused.",
    )


class Hit(MemoryOut):
    """A memory that answers a query."""

    score: float = Field(
        description="0 to 1, comparable within one answer, and in its order unless a reranker gave another."
    )
    source: list[Literal["vector", "text", "graph"]] = Field(description="What found it.")
    score_parts: dict[str, float] | None = Field(
        None,
        description="What the score is made of; with `explain`. `rerank` is no part of it, but the reranker's own "
        "score, by which it ordered.",
    )


class Reranked(BaseModel):
    """What the reranker did for one search."""

    provider: str
    model: str
    outcome: Literal["answered", "failed", "skipped"] = Field(
        description="`failed`, or `skipped` soon after a failure or, by a language model, past the project's budget: "
        "the results stand as they were ranked."
    )
    detail: str | None = Field(description="Why it did not answer.")


class SearchResults(BaseModel):
    """What answers a query, best first."""

    results: list[Hit]
    reranking: Reranked | None = Field(None, description="What the reranker did, if it was asked; with `explain`.")
