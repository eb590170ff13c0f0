"""Errors in words that tell a model (and the person behind it) what to do next. Pure."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

import memsys
from memsys_mcp.away import is_away, is_elsewhere

ARGUMENTS = {"messages.0.content": "text", "messages.0.name": "speaker", "messages": "text", "top_k": "limit"}
"""What the tools call the fields of the API."""


def explain(error: memsys.MemsysError, address: str = "its address") -> str:
    """What went wrong and the remedy, in one or two sentences. Never contains the text of a memory or a key.

    ``address`` is where the API should be.
    """
    match error:
        case memsys.ProblemError() if is_elsewhere(error):
            return (
                f"What answers at {address} is not the memory API (it said {error.status}): MEMSYS_API_URL is wrong, "
                "or a proxy there has no route to the API. Go on without it and tell the user."
            )
        case memsys.NotFound():
            return (
                "memory_id: there is no such memory in this project; it may have been deleted. "
                "Use search_memories or list_memories to find the right id."
            )
        case memsys.Invalid() if error.errors:
            fields = "; ".join(f"{ARGUMENTS.get(item.field, item.field)}: {item.message}" for item in error.errors)
            return f"Not accepted. {fields}. Correct it and call again."
        case memsys.Held():
            return (
                "Not changed: the new text looks suspect and is held for a person to review "
                f"[review {error.review_id}]. Do not send it again; tell the user."
            )
        case memsys.Unauthorized():
            return (
                "The key was refused: it is unknown, expired or revoked. Calling again will not help; ask the user to "
                "set a valid key (header 'Authorization: Bearer <key>') and reconnect."
            )
        case memsys.Forbidden():
            return (
                f"The key does not allow this{_detail(error)}. Calling again will not help; ask the user for a key "
                "with the right project and rights."
            )
        case memsys.Conflict():
            return f"Not done, because of a conflict{_detail(error)}. Read the memory again, then decide."
        case memsys.TooLarge():
            return f"text: too long to store{_detail(error)}. Split it into several memories, one fact each."
        case memsys.RateLimited():
            return f"Too many requests{_wait(error.retry_after)}."
        case memsys.ProblemError() if not is_away(error):
            reference = f" (request {error.request_id})" if error.request_id else ""
            again = _wait(error.retry_after) if error.retry_after else ""
            return (
                f"The memory service could not do this{_detail(error)}{reference}{again}. "
                "Go on without it and tell the user."
            )
        case memsys.Unavailable():
            cause = _detail(error) if isinstance(error, memsys.ProblemError) else ""
            return (
                f"The memory service is not reachable right now{cause}, and nothing is known to have changed"
                f"{_wait(error.retry_after)}. Go on without it and tell the user if it stays away."
            )
        case _:
            return "The memory service gave an answer that this server does not understand: their versions differ."


def explain_arguments(error: ValidationError) -> str:
    """Which arguments of a tool call were wrong, and what was expected. Leaves out the values: they may be private."""
    problems = [
        f"{_argument(item['loc'])}: {_message(item)}"
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return f"Not accepted. {'; '.join(problems)}. Correct it and call again."


def _argument(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "(arguments)"


def _message(item: Any) -> str:
    if item["type"] == "unexpected_keyword_argument":
        return "there is no such argument; leave it out"
    if item["type"] in ("missing_argument", "missing_keyword_only_argument"):
        return "is required"
    message: str = item["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _detail(error: memsys.ProblemError) -> str:
    text = error.detail.strip().rstrip(".")
    return f": {text}" if text else ""


def _wait(seconds: float | None) -> str:
    return f"; try again in {max(1, round(seconds))} s" if seconds else "; try again in a moment"
