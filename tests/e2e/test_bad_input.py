"""Bad input is refused where it arrives, names the field and the remedy, and leaves nothing half-written."""

from __future__ import annotations

import asyncio
import copy
import uuid
from typing import Any

import httpx
import pytest
from fastmcp.exceptions import ToolError

from .conftest import Installation
from .support.kubectl import Refused, System
from .support.memory import session

BAD_SPECS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown provider": ({"embedder": {"provider": "telepathy"}}, "spec.embedder.provider"),
    "negative storage": ({"postgres": {"storage": {"size": "-1Gi"}}}, "storage"),
    "unknown field": ({"embeder": {"provider": "builtin"}}, "embeder"),
    "contradicting dimensions": ({"embedder": {"provider": "builtin", "dimensions": 1536}}, "dimensions"),
}


@pytest.mark.parametrize("case", BAD_SPECS)
def test_a_bad_spec_is_refused_with_its_field(system: System, sample: dict[str, Any], case: str) -> None:
    spec, field = BAD_SPECS[case]
    bad = copy.deepcopy(sample)
    bad["metadata"] = {"name": "bad"}
    bad["spec"] = spec
    with pytest.raises(Refused, match=field):
        system.kubectl.apply(bad, namespace=system.namespace)
    assert "bad" not in system.kubectl.names("memsys", namespace=system.namespace)


def test_a_name_too_long_is_refused(system: System, sample: dict[str, Any]) -> None:
    bad = copy.deepcopy(sample)
    bad["metadata"] = {"name": "m" * 41}
    with pytest.raises(Refused, match="40"):
        system.kubectl.apply(bad, namespace=system.namespace)


def test_a_bad_request_is_a_problem_that_names_the_field(system: System, installation: Installation) -> None:
    project = f"bad-{uuid.uuid4().hex[:8]}"
    headers = {"Authorization": f"Bearer {installation.key}", "X-Memsys-Project": project}
    with httpx.Client(base_url=installation.api_url, headers=headers) as api:
        answer = api.post("/memories", json={"messages": [{"role": "user", "content": "kept?"}], "colour": "red"})
        assert answer.status_code in (400, 422)
        problem = answer.json()
        assert problem["type"].startswith("https://memsys.dev/problems/")
        assert any(error["field"] == "colour" for error in problem["errors"])
        assert api.get("/memories").json()["results"] == []


def test_a_bad_tool_call_tells_the_model_what_to_do(system: System, installation: Installation) -> None:
    project = f"bad-{uuid.uuid4().hex[:8]}"

    async def call(tool: str, arguments: dict[str, Any]) -> str:
        async with session(installation.mcp_url, installation.key, project) as client:
            with pytest.raises(ToolError) as caught:
                await client.call_tool(tool, arguments)
            return str(caught.value)

    assert "memory_id" in asyncio.run(call("delete_memory", {"memory_id": "not-an-id"}))
    assert "text" in asyncio.run(call("add_memory", {"text": ""}))
