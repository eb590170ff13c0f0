"""The API's own description: what the framework knows, and every error and key that it does not."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from memsys_api import problems
from memsys_api.schemas import Problem

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
_EVERYWHERE = (
    problems.INVALID_REQUEST,
    problems.UNAUTHENTICATED,
    problems.FORBIDDEN,
    problems.TOO_LARGE,
    problems.RATE_LIMITED,
    problems.INTERNAL,
    problems.UNAVAILABLE,
)


def install(app: FastAPI) -> None:
    """Have the app describe itself with keys and problem documents."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            )
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]


def _complete(schema: dict[str, Any]) -> dict[str, Any]:
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    schema["security"] = [{"bearer": []}, {"apiKey": []}]
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            responses = operation["responses"]
            responses.pop("422", None)
            if path in OPEN_PATHS:
                operation["security"] = []
            for kind in () if path in OPEN_PATHS else _EVERYWHERE:
                responses.setdefault(str(kind.status), {"description": kind.title})
            for status, response in responses.items():
                if int(status) >= 400:
                    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
                    response["content"] = {problems.media_type(path): reference}
    return schema
