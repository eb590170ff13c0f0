"""The names of the tools, for those who must know them without calling them."""

from __future__ import annotations

WRITES = frozenset({"add_memory", "update_memory", "delete_memory"})
"""The tools that need the right to write."""
TOOLS = WRITES | {"search_memories", "list_memories"}
