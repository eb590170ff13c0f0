"""A hostile model with a good key of its own, against every mode of isolation: it reaches nothing of anybody else."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import fastmcp
import pytest
from fastmcp.client.transports import StreamableHttpTransport

import memsys
from tests.support.issuer import Issuer

from .conftest import ADMIN_KEY, StartMcp
from .hostile import Prey, attack
from .processes import Process

MARKER = "xyloquartz"
SECRET = f"The vault code of the victim is {MARKER}."
MODES: dict[str, Callable[[str], dict[str, str]]] = {
    "auto": lambda _: {},
    "manual": lambda _: {"MEMSYS_MCP_ISOLATION": "manual"},
    "manual, one project": lambda project: {"MEMSYS_MCP_ISOLATION": "manual", "MEMSYS_MCP_PROJECT": project},
    "global": lambda _: {"MEMSYS_MCP_ISOLATION": "global"},
    "global, one project": lambda project: {"MEMSYS_MCP_ISOLATION": "global", "MEMSYS_MCP_PROJECT": project},
}


@pytest.mark.parametrize("intruder", ["of another project", "of another user"])
@pytest.mark.parametrize("mode", MODES)
async def test_nothing_of_another_project_or_user_is_reached(
    mode: str, intruder: str, real_api: Process, admin: memsys.Client, start_mcp: StartMcp
) -> None:
    project, other = (f"{name}-{uuid.uuid4().hex[:8]}" for name in ("victim", "intruder"))
    with memsys.Client(real_api.url, ADMIN_KEY, project=project) as owner:
        identity = str(owner.add(SECRET, user_id="victim", run_id="r", app_id="a", infer=False).results[0].id)
        prey = Prey(project, "victim", identity, MARKER)
        if intruder == "of another project":
            key, own = admin.create_key("intruder", projects=[other]).key, other
        else:
            key, own = admin.create_key("intruder", projects=[project], user_id="mallory").key, project
        server = start_mcp(real_api.url, **MODES[mode](project))
        paths = ["/mcp"] if "one project" in mode or mode == "global" else [f"/p/{own}/mcp", f"/p/{project}/mcp"]
        for path in dict.fromkeys(paths):
            transport = StreamableHttpTransport(server.url + path, headers={"Authorization": f"Bearer {key}"})
            async with fastmcp.Client(transport) as client:
                made, leaks = await attack(client, prey)
            assert not leaks
            assert made > 200, "the attacks were made"
        found = owner.get(identity)
        assert (found.memory, found.version) == (SECRET, 1), "and it is as it was"
        mine = [memory.user_id for memory in owner.list(limit=100).results]
        assert mine.count("victim") == 1, "nothing was added in the victim's name"
        assert set(mine) <= ({"victim"} if intruder == "of another project" else {"victim", "mallory"})
    assert MARKER not in server.logged()


@pytest.mark.parametrize("mode", ["auto", "global"])
async def test_nor_with_an_access_token_through_the_server_s_own_key_which_reaches_both(
    mode: str, issuer: Issuer, real_api: Process, admin: memsys.Client, start_mcp: StartMcp
) -> None:
    project, other = (f"{name}-{uuid.uuid4().hex[:8]}" for name in ("victim", "intruder"))
    with memsys.Client(real_api.url, ADMIN_KEY, project=project) as owner:
        identity = str(owner.add(SECRET, user_id="victim", infer=False).results[0].id)
        public = "https://memory.example.org"
        server = start_mcp(
            real_api.url,
            **MODES[mode](project),
            MEMSYS_MCP_AUTH="keys+oauth",
            MEMSYS_MCP_API_KEY=admin.create_key("mcp-server", projects=[project, other]).key,
            MEMSYS_MCP_PUBLIC_URL=public,
            MEMSYS_MCP_OAUTH_ISSUER=issuer.url,
        )
        path = f"/p/{other}/mcp" if mode == "auto" else "/mcp"
        scope = " ".join(f"memsys:project:{other}:{right}" for right in ("read", "write"))
        headers = {"Authorization": f"Bearer {issuer.token(public + path, scope)}"}
        async with fastmcp.Client(StreamableHttpTransport(server.url + path, headers=headers)) as client:
            made, leaks = await attack(client, Prey(project, "victim", identity, MARKER))
        assert not leaks
        assert made > 200
        found = owner.get(identity)
        assert (found.memory, found.version) == (SECRET, 1)
        assert len(owner.list(limit=100).results) == 1
