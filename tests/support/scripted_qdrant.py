"""The part of Qdrant's REST protocol that its client needs here, scripted from https://api.qdrant.tech/api-reference.

Stores points, filters by equality of payload fields, searches by exact cosine. No server of Qdrant's: what it does
with large collections, restarts or odd filters is not shown here.
"""

from __future__ import annotations

from typing import Any

from .scripted_http import Failed, Request, ScriptedServer, cosine


class ScriptedQdrant(ScriptedServer):
    """``collections`` holds the configuration and points of each; ``key``, if set, is asked for."""

    def __init__(self, port: int = 0, *, key: str | None = None) -> None:
        super().__init__(port)
        self.key = key
        self.collections: dict[str, dict[str, Any]] = {}

    def points(self, collection: str) -> dict[str, dict[str, Any]]:
        return self.collections[collection]["points"]  # type: ignore[no-any-return]

    def failure(self, failed: Failed) -> Any:
        return {"status": {"error": failed.message}, "time": 0.0}

    def answer(self, request: Request) -> Any:
        if self.key is not None and request.headers.get("api-key") != self.key:
            raise Failed(401, "Must provide an API key or an Authorization bearer token")
        return {"result": self._result(request), "status": "ok", "time": 0.0}

    def _result(self, request: Request) -> Any:
        match [request.method, *request.path.strip("/").split("/")]:
            case ["GET", "collections"]:
                return {"collections": [{"name": name} for name in self.collections]}
            case ["GET", "collections", name, "exists"]:
                return {"exists": name in self.collections}
            case ["GET", "collections", name]:
                return _info(self._found(name))
            case ["PUT", "collections", name]:
                if name in self.collections:
                    raise Failed(409, f"Wrong input: Collection `{name}` already exists!")
                self.collections[name] = {"config": request.body, "points": {}, "indexes": {}}
                return True
            case ["DELETE", "collections", name]:
                return self.collections.pop(name, None) is not None
            case ["PUT", "collections", name, "index"]:
                self._found(name)["indexes"][request.body["field_name"]] = request.body["field_schema"]
                return _DONE
            case ["PUT", "collections", name, "points"]:
                self._upsert(self._found(name), request.body["points"])
                return _DONE
            case ["POST", "collections", name, "points"]:
                return [{"id": i} for i in request.body["ids"] if i in self._found(name)["points"]]
            case ["POST", "collections", name, "points", "delete"]:
                for point in request.body["points"]:
                    self._found(name)["points"].pop(point, None)
                return _DONE
            case ["POST", "collections", name, "points", "count"]:
                return {"count": len(self._found(name)["points"])}
            case ["POST", "collections", name, "points", "query"]:
                return {"points": _search(self._found(name)["points"], request.body)}
        raise Failed(404, "Not Found")

    def _found(self, name: str) -> dict[str, Any]:
        if name not in self.collections:
            raise Failed(404, f"Not found: Collection `{name}` doesn't exist!")
        return self.collections[name]

    def _upsert(self, collection: dict[str, Any], points: list[dict[str, Any]]) -> None:
        size = collection["config"]["vectors"]["size"]
        vectors = [p["vector"][""] if isinstance(p["vector"], dict) else p["vector"] for p in points]
        for vector in vectors:
            if len(vector) != size:
                raise Failed(400, f"Wrong input: Vector dimension error: expected dim: {size}, got {len(vector)}")
        for point, vector in zip(points, vectors, strict=True):
            collection["points"][point["id"]] = {"vector": vector, "payload": point["payload"]}


_DONE = {"operation_id": 1, "status": "completed"}


def _search(points: dict[str, dict[str, Any]], body: dict[str, Any]) -> list[dict[str, Any]]:
    query = body["query"]["nearest"] if isinstance(body["query"], dict) else body["query"]
    wanted = [(one["key"], one["match"]["value"]) for one in (body.get("filter") or {}).get("must") or []]
    found = [
        {"id": point_id, "version": 1, "score": cosine(point["vector"], query), "payload": point["payload"]}
        for point_id, point in points.items()
        if all(point["payload"].get(key) == value for key, value in wanted)
    ]
    return sorted(found, key=lambda one: -one["score"])[: body["limit"]]


def _info(collection: dict[str, Any]) -> dict[str, Any]:
    config = collection["config"]
    return {
        "status": "green",
        "optimizer_status": "ok",
        "points_count": len(collection["points"]),
        "segments_count": 1,
        "config": {
            "params": {"vectors": config["vectors"], "sparse_vectors": config.get("sparse_vectors")},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
        },
        "payload_schema": {},
    }
