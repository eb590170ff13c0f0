"""A server of Cohere's rerank protocol (https://docs.cohere.com/reference/rerank), version 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.scripted_http import Failed, Request, ScriptedServer


class ScriptedCohere(ScriptedServer):
    """Scores each document by ``score``; ``raw`` is answered instead of everything, if set."""

    def __init__(self, score: Callable[[str], float]) -> None:
        super().__init__()
        self.score = score
        self.raw: Any = None

    def answer(self, request: Request) -> Any:
        if (request.method, request.path) != ("POST", "/v2/rerank"):
            raise Failed(404, f"no {request.path} here")
        if unknown := set(request.body) - {"model", "query", "documents", "top_n", "max_tokens_per_doc", "priority"}:
            raise Failed(400, f"unknown fields {sorted(unknown)}")
        if self.raw is not None:
            return self.raw
        scores = [{"index": i, "relevance_score": self.score(text)} for i, text in enumerate(request.body["documents"])]
        scores.sort(key=lambda result: -result["relevance_score"])
        return {"id": "1", "results": scores[: request.body["top_n"]], "meta": {"api_version": {"version": "2"}}}

    def failure(self, failed: Failed) -> Any:
        return {"id": "1", "message": failed.message}
