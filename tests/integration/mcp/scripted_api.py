"""An HTTP server on loopback that answers as the API's contract says, and fails when told to.

It stands in for the API only where a test needs the API to misbehave, or to look at what reached it.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

KEYS = {"msk_alpha": ("alpha",), "msk_both": ("alpha", "beta"), "msk_any": None}


@dataclass
class ScriptedApi:
    """Keeps memories per project. ``hang`` makes every request wait, ``down`` answers 503, ``slow`` delays adds.

    ``rejects`` fails adds, as where the embedding provider refuses a text.
    """

    memories: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    hang: bool = False
    down: bool = False
    slow: float = 0.0
    rejects: bool = False

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/healthz", self._alive),
                Route("/readyz", self._ready),
                Route("/info", self._info),
                Route("/memories", self._add, methods=["POST"]),
                Route("/memories", self._list, methods=["GET"]),
                Route("/search", self._search, methods=["POST"]),
                Route("/memories/{id}", self._one, methods=["GET", "PUT", "DELETE"]),
                Route("/memories/{id}/history", self._history),
            ]
        )

    async def _enter(self, request: Request) -> tuple[str, Response | None]:
        self.requests.append((request.method, request.url.path, dict(request.headers)))
        if self.hang:
            await asyncio.sleep(3600)
        if self.down:
            return "", _problem(503, "waiting for PostgreSQL", "not-ready", retry_after=1)
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if key not in KEYS:
            return "", _problem(401, "unknown key")
        allowed = KEYS[key]
        project = request.headers.get("x-memsys-project") or (allowed[0] if allowed else "default")
        if allowed is not None and project not in allowed:
            return "", _problem(403, f"this key does not reach the project {project!r}")
        return project, None

    async def _alive(self, request: Request) -> Response:
        if self.hang:
            await asyncio.sleep(3600)
        return JSONResponse({"status": "ok"})

    async def _ready(self, request: Request) -> Response:
        if self.hang:
            await asyncio.sleep(3600)
        return _problem(503, "waiting for PostgreSQL", "not-ready") if self.down else JSONResponse({"status": "ready"})

    async def _info(self, request: Request) -> Response:
        _, refusal = await self._enter(request)
        return refusal or JSONResponse({"version": "0", "embedder": {}, "graph": {}, "llm": {}})

    async def _add(self, request: Request) -> Response:
        project, refusal = await self._enter(request)
        if refusal:
            return refusal
        await asyncio.sleep(self.slow)
        if self.rejects:
            return _problem(502, "the provider refuses the text", "embedder-rejected")
        body = json.loads(await request.body())
        results = []
        for message in body["messages"]:
            identity = str(uuid.uuid4())
            self.memories[identity] = {
                "id": identity,
                "memory": message["content"],
                "hash": "x",
                "metadata": body.get("metadata") or {},
                "project": project,
                "version": 1,
                "event_time": body.get("timestamp") or datetime.now(UTC).isoformat(),
                **{name: body.get(name) for name in ("user_id", "agent_id", "app_id", "run_id")},
            }
            results.append(
                {"id": identity, "memory": message["content"], "event": "ADD", "project": project, "version": 1}
            )
        return JSONResponse({"results": results})

    def _of(self, project: str) -> list[dict[str, Any]]:
        return [memory for memory in self.memories.values() if memory["project"] == project]

    async def _list(self, request: Request) -> Response:
        project, refusal = await self._enter(request)
        if refusal:
            return refusal
        start = int(request.query_params.get("cursor", "0"))
        end = start + int(request.query_params.get("limit", "100"))
        found = self._of(project)
        return JSONResponse({"results": found[start:end], "next_cursor": str(end) if end < len(found) else None})

    async def _search(self, request: Request) -> Response:
        project, refusal = await self._enter(request)
        if refusal:
            return refusal
        body = json.loads(await request.body())
        words = set(body["query"].lower().split())
        scored = [
            {**memory, "score": len(words & set(memory["memory"].lower().split())) / 10, "source": ["text"]}
            for memory in self._of(project)
        ]
        scored.sort(key=lambda memory: -memory["score"])
        return JSONResponse({"results": scored[: body.get("top_k", 10)]})

    async def _one(self, request: Request) -> Response:
        project, refusal = await self._enter(request)
        memory = self.memories.get(request.path_params["id"])
        if refusal:
            return refusal
        if memory is None or memory["project"] != project:
            return _problem(404, "no such memory")
        if request.method == "DELETE":
            del self.memories[memory["id"]]
        elif request.method == "PUT":
            memory["memory"] = json.loads(await request.body())["text"]
        return JSONResponse(memory)

    async def _history(self, request: Request) -> Response:
        project, refusal = await self._enter(request)
        memory = self.memories.get(request.path_params["id"])
        if refusal:
            return refusal
        if memory is None or memory["project"] != project:
            return _problem(404, "no such memory")
        return JSONResponse([{"event": "ADD", "version": 1, "new_memory": memory["memory"]}])


def _problem(status: int, detail: str, slug: str | None = None, retry_after: int | None = None) -> Response:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    document = {"type": f"https://memsys.dev/problems/{slug or status}", "title": "Refused", "detail": detail}
    return JSONResponse({**document, "status": status}, status, headers=headers, media_type="application/problem+json")
