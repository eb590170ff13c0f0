"""Every option that mem0's client declares, read from its source, either works here or is refused by name.

An option that a new release of the client brings fails these tests until somebody has decided which.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mem0 import MemoryClient
from mem0.client import types
from mem0.exceptions import MemoryError, ValidationError
from pydantic import BaseModel

from memsys_api.routes.mem0 import options

from ..mcp import npm

WORKS = {
    "add": {"filters", "metadata", "infer", "timestamp", "expiration_date"},
    "search": {
        "filters",
        "metadata",
        "top_k",
        "threshold",
        "fields",
        "reference_date",
        "latest_only",
        "keyword_search",
    },
    "get_all": {"filters", "page", "page_size", "start_date", "end_date", "latest_only"},
    "update": {"text", "metadata", "timestamp", "expiration_date"},
    "delete_all": {"user_id", "agent_id", "app_id", "run_id"},
}
REFUSED = {
    "add": {"custom_categories", "custom_instructions", "agent_custom_instructions", "structured_data_schema"},
    "search": {"rerank", "categories", "show_expired"},
    "get_all": {"categories", "show_expired"},
    "update": set(),
    "delete_all": {"filters"},
}
VALUES: dict[str, Any] = {
    "filters": {"user_id": "u"}, "metadata": {"a": 1}, "infer": False, "timestamp": 1700000000, "latest_only": True,
    "expiration_date": "2100-01-01", "top_k": 3, "threshold": 0.5, "fields": ["memory"], "keyword_search": True,
    "reference_date": "2026-05-01", "page": 1, "page_size": 5, "start_date": "2026-05-01", "end_date": "2026-05-02",
    "text": "Alice rests", "user_id": "u", "agent_id": "a", "app_id": "p", "run_id": "r", "rerank": True,
    "categories": ["food"], "show_expired": True, "custom_categories": [{"food": "meals"}],
    "custom_instructions": "be brief", "agent_custom_instructions": "be brief", "structured_data_schema": {"a": "b"},
}  # fmt: skip


@pytest.fixture
def calls(host: str, key: str) -> dict[str, Callable[..., Any]]:
    """The client's calls, each in need of nothing but options."""
    client = MemoryClient(api_key=key, host=host)
    [one] = client.add("Alice drinks tea", user_id="u", infer=False)["results"]
    return {
        "add": lambda **options: client.add("Alice drinks tea", **{"infer": False, **options}),
        "search": lambda **options: client.search("tea", **options),
        "get_all": client.get_all,
        "update": lambda **options: client.update(one["id"], **options),
        "delete_all": client.delete_all,
    }


def _declared(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


@pytest.mark.parametrize(("call", "model"), [
    ("add", types.AddMemoryOptions), ("search", types.SearchMemoryOptions), ("get_all", types.GetAllMemoryOptions),
    ("update", types.UpdateMemoryOptions), ("delete_all", types.DeleteAllMemoryOptions),
])  # fmt: skip
def test_every_declared_option_works_or_is_refused_by_name(
    calls: dict[str, Callable[..., Any]], call: str, model: type[BaseModel]
) -> None:
    assert _declared(model) <= WORKS[call] | REFUSED[call], "the client declares an option that is not decided on"
    for option in sorted(WORKS[call]):
        calls[call](**{option: VALUES[option]})
    for option in sorted(REFUSED[call]):
        with pytest.raises((MemoryError, ValidationError), match=option) as refused:
            calls[call](**{option: VALUES[option]})
        assert refused.value.error_code in ("HTTP_400", "HTTP_501")


_PARAMETERS = {
    "delete": {"memory_id", "delete_linked"},
    "delete_users": {"user_id", "agent_id", "app_id", "run_id"},
    "batch_update": {"memories"},
    "batch_delete": {"memories"},
    "history": {"memory_id"},
    "get": {"memory_id"},
    "users": set(),
    "feedback": {"memory_id", "feedback", "feedback_reason"},
    "create_memory_export": {"schema", "kwargs"},
    "get_memory_export": {"kwargs"},
}


def test_no_call_has_grown_a_parameter() -> None:
    """Of the calls without a model of their options. All that they send is covered by the tests of the clients."""
    for call, known in _PARAMETERS.items():
        declared = set(inspect.signature(getattr(MemoryClient, call)).parameters) - {"self"}
        assert declared == known, call


@pytest.mark.parametrize(("interface", "model"), [
    ("AddMemoryOptions", options.Mem0Add), ("SearchMemoryOptions", options.Mem0Search),
    ("GetAllMemoryOptions", (options.Mem0GetAll, options.PageQuery)),
    ("DeleteMemoryOptions", options.DeleteQuery), ("EntityOptions", options.DeleteAllQuery),
])  # fmt: skip
def test_every_option_that_the_npm_client_declares_is_declared_here(interface: str, model: Any) -> None:
    folder = npm.installed("mem0ai").parent
    declarations = (Path(folder) / "mem0ai" / "dist" / "index.d.ts").read_text()
    found = re.search(rf"^interface {interface}\b[^{{]*{{(.*?)^}}", declarations, re.S | re.M)
    assert found, f"the client declares no {interface}"
    names = {re.sub(r"[A-Z]", lambda m: f"_{m[0].lower()}", n) for n in re.findall(r"^\s+(\w+)\??:", found[1], re.M)}
    known = {field for one in (model if isinstance(model, tuple) else (model,)) for field in one.model_fields}
    assert names
    assert names <= known
