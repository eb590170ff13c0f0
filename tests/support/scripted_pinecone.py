"""The part of Pinecone's REST protocol that its client needs here, scripted from https://docs.pinecone.io/reference/api
(version 2026-07, in which an index has a schema of fields, the classic vector being the field ``_values``).

Control plane and index on one port. Stores vectors by namespace, filters by ``$eq``, searches by exact cosine; what
is written is there at once, which Pinecone does not promise.
"""

from __future__ import annotations

from typing import Any

from .scripted_http import Failed, Request, ScriptedServer, cosine


class ScriptedPinecone(ScriptedServer):
    """``indexes`` holds the configuration of each; ``vectors`` those of the namespaces of the one there is."""

    def __init__(self, port: int = 0, *, key: str = "pinecone-key") -> None:
        super().__init__(port)
        self.key = key
        self.indexes: dict[str, dict[str, Any]] = {}
        self.vectors: dict[str, dict[str, dict[str, Any]]] = {}

    def failure(self, failed: Failed) -> Any:
        return {"status": failed.status, "error": {"code": "UNKNOWN", "message": failed.message}}

    def answer(self, request: Request) -> Any:
        if request.headers.get("api-key") != self.key:
            raise Failed(401, "Invalid API Key")
        match [request.method, *request.path.strip("/").split("/")]:
            case ["GET", "indexes"]:
                return {"indexes": [self._described(name) for name in self.indexes]}
            case ["GET", "indexes", name]:
                return self._described(name)
            case ["POST", "indexes"]:
                if request.body["name"] in self.indexes:
                    raise Failed(409, "Resource already exists")
                self.indexes[request.body["name"]] = request.body
                return self._described(request.body["name"])
            case ["POST", "vectors", "upsert"]:
                return self._upsert(request.body)
            case ["GET", "vectors", "fetch"]:
                space = self.vectors.get("", {})
                return {"vectors": {i: space[i] for i in request.query["ids"] if i in space}, "namespace": ""}
            case ["POST", "vectors", "delete"]:
                space = self.vectors.get(request.body.get("namespace") or "", {})
                for vector_id in request.body["ids"]:
                    space.pop(vector_id, None)
                return {}
            case ["POST", "query"]:
                return self._query(request.body)
            case ["POST", "describe_index_stats"]:
                counts = {name: {"vectorCount": len(space)} for name, space in self.vectors.items()}
                total = sum(len(space) for space in self.vectors.values())
                return {
                    "namespaces": counts,
                    "dimension": self._dimension,
                    "indexFullness": 0,
                    "totalVectorCount": total,
                }
        raise Failed(404, f"no {request.method} {request.path} here")

    @property
    def _dimension(self) -> int:
        return int(next(iter(self.indexes.values()))["schema"]["fields"]["_values"]["dimension"])

    def _described(self, name: str) -> dict[str, Any]:
        if name not in self.indexes:
            raise Failed(404, f"Resource {name} not found")
        return {
            **self.indexes[name],
            "host": self.url,
            "status": {"ready": True, "state": "Ready"},
            "deletion_protection": "disabled",
        }

    def _upsert(self, body: dict[str, Any]) -> dict[str, Any]:
        for vector in body["vectors"]:
            if len(vector["values"]) != self._dimension:
                raise Failed(400, f"Vector dimension {len(vector['values'])} does not match {self._dimension}")
            if None in vector.get("metadata", {}).values():
                raise Failed(400, "Metadata value must be a string, number, boolean or list of strings, got 'null'")
        space = self.vectors.setdefault(body.get("namespace") or "", {})
        space |= {vector["id"]: vector for vector in body["vectors"]}
        return {"upsertedCount": len(body["vectors"])}

    def _query(self, body: dict[str, Any]) -> dict[str, Any]:
        wanted = {name: condition["$eq"] for name, condition in (body.get("filter") or {}).items()}
        space = self.vectors.get(body.get("namespace") or "", {})
        found = [
            {"id": v["id"], "score": cosine(v["values"], body["vector"]), "metadata": v["metadata"]}
            for v in space.values()
            if all(v["metadata"].get(name) == value for name, value in wanted.items())
        ]
        matches = sorted(found, key=lambda one: -one["score"])[: body["topK"]]
        return {"matches": matches, "namespace": body.get("namespace") or "", "usage": {"readUnits": 1}}
