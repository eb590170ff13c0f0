"""Problem documents (RFC 9457), as the HTTP edge answers them."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

PROBLEMS = "https://memsys.dev/problems"


def problem(status: int, slug: str, title: str, detail: str, headers: dict[str, str] | None = None) -> Response:
    """A problem document with a stable type."""
    document = {"type": f"{PROBLEMS}/{slug}", "title": title, "status": status, "detail": detail}
    return JSONResponse(document, status, headers=headers, media_type="application/problem+json")
