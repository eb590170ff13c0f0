"""The page that users of MCP clients follow, as far as it says what to type."""

from __future__ import annotations

import textwrap
from itertools import dropwhile, takewhile
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "connect-claude-code.md"


def typed_under(words: str, project: str) -> str:
    """The first indented block after these words, for this project in place of the page's."""
    _, found, rest = PAGE.read_text().partition(words)
    assert found, f"{PAGE.name} has no {words!r}"
    lines = dropwhile(lambda line: not line.startswith("    "), rest.splitlines())
    block = takewhile(lambda line: not line or line.startswith("    "), lines)
    return textwrap.dedent("\n".join(block)).replace("/p/shop/", f"/p/{project}/")
