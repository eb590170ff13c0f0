"""The API's own description: what the framework knows, and every error and key that it does not."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from memsys_api import problems
from memsys_api.access.grants import PROJECT_HEADER, PROJECT_NAME, PROJECT_PATTERN
from memsys_api.filters import SCOPE_FIELDS
from memsys_api.openapi.examples import illustrate
from memsys_api.schemas import Problem
from memsys_api.schemas.fields import SAYS_SOMETHING

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
            _parameters(path, operation)
            responses.pop("422", None)
            if path in OPEN_PATHS:
                operation["security"] = []
            for kind in () if path in OPEN_PATHS else _EVERYWHERE:
                responses.setdefault(str(kind.status), {"description": kind.title})
            for status, response in responses.items():
                if int(status) >= 400:
                    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
                    response["content"] = {problems.media_type(path): reference}
    illustrate(schema)
    _whole_bounds(schema)
    return schema


def _whole_bounds(described: Any) -> None:
    """Write whole numbers as such, which the framework writes as decimals: 1000 instead of 1000.0."""
    for name, value in described.items() if isinstance(described, dict) else enumerate(described):
        if isinstance(value, dict | list):
            _whole_bounds(value)
        elif isinstance(value, float) and value.is_integer():
            described[name] = int(value)


_PLACE = "^c[0-9a-f]{1,15}$"
_CURSORS = {
    "/memories": _PLACE,
    "/audit": _PLACE,
    "/erasures": _PLACE,
    "/quarantine": _PLACE,
    "/webhooks/{webhook_id}/deliveries": _PLACE,
    "/graph/drift": rf"^{PROJECT_NAME.pattern}/([0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})?$",
    "/entities": r"^[^\x00]*$",
}
_IN_PATH = re.compile(r"\{(\w+)\}")


def _parameters(path: str, operation: dict[str, Any]) -> None:
    """The parameters in a path that the route itself has no use for, and what others must look like."""
    parameters = operation.setdefault("parameters", [])
    named = {one["name"] for one in parameters if one["in"] == "path"}
    parameters += [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _IN_PATH.findall(path)
        if name not in named
    ]
    for one in parameters:
        strings = [s for s in one["schema"].get("anyOf", [one["schema"]]) if s.get("type") == "string"]
        if one["name"] == "filters":
            del one["schema"]
            one["content"] = {"application/json": {"schema": {"type": "object", "minProperties": 1}}}
            continue
        for described in strings:
            if one["name"] == PROJECT_HEADER:
                described["pattern"] = PROJECT_PATTERN
            elif one["name"] == "cursor" and path in _CURSORS:
                described["pattern"] = _CURSORS[path]
            elif one["name"] in SCOPE_FIELDS or one["in"] == "path":
                described.setdefault("pattern", SAYS_SOMETHING)
