"""The API away and back: what was queued is stored, once and in order, whatever becomes of the server meanwhile."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path

import fastmcp
import pytest

from tests.support.issuer import Issuer

from .clients import Session, Target, http, stdio
from .processes import Process, free_port, metrics_of, python_module, wait_until
from .scripted_api import ScriptedApi


def texts(api: ScriptedApi) -> list[str]:
    return [memory["memory"] for memory in api.memories.values()]


def start(stack: ExitStack, url: str, folder: Path, limit: int = 3, **settings: str) -> Process:
    settings |= {"MEMSYS_MCP_WRITE_QUEUE": str(limit), "MEMSYS_MCP_QUEUE_DIR": str(folder / "queue")}
    return stack.enter_context(python_module("memsys_mcp", folder / "log", "/healthz", MEMSYS_API_URL=url, **settings))


def keeping(folder: Path) -> dict[str, str]:
    """The settings of a server on stdio that keeps in this folder what it cannot send."""
    return {
        "MEMSYS_MCP_ISOLATION": "manual",
        "MEMSYS_MCP_PROJECT": "alpha",
        "MEMSYS_MCP_WRITE_QUEUE": "10",
        "MEMSYS_MCP_QUEUE_DIR": str(folder),
    }


async def test_writes_wait_for_the_api_through_the_death_of_the_server(
    scripted: tuple[ScriptedApi, str], tmp_path: Path
) -> None:
    api, url = scripted
    with ExitStack() as stack:
        server = start(stack, url, tmp_path)
        async with fastmcp.Client(http(Target(server.url, url, "msk_any", "alpha"))) as client:
            session = Session(client)
            assert not (await session.call("add_memory", text="before")).is_error
            api.rejects = True
            failed = await session.call("add_memory", text="which the API is there for, and fails at")
            assert failed.is_error
            assert "could not do this: the provider refuses the text" in failed.text
            api.rejects, api.down = False, True
            for number in range(3):
                began = time.monotonic()
                answer = await session.call("add_memory", text=f"while away {number}")
                assert time.monotonic() - began < 5
                assert not answer.is_error
                assert answer.text.startswith("Queued, not yet stored")
                assert answer.data == {"results": [], "queued": {"stored": False, "waiting": number + 1}}
            full = await session.call("add_memory", text="one too many")
            assert full.is_error
            assert "The memory service is not reachable" in full.text
            assert "the queue is full" in full.text
            listed = json.loads(await session.read("memsys://queue"))
            assert (listed["waiting"], listed["refused"]) == (3, 0)
            assert listed["writes"][0]["memory"] == "while away 0"
            assert listed["left_off"] == 0
            whole = json.loads(await session.read(f"memsys://queue/{listed['writes'][0]['id']}"))
            assert whole == listed["writes"][0]
            with pytest.raises(Exception, match="write_id: there is no such write"):
                await session.read("memsys://queue/99")
            assert (await session.call("update_memory", memory_id="0" * 32, text="x")).is_error, "only adds are kept"
        async with fastmcp.Client(http(Target(server.url, url, "msk_unseen", "alpha"))) as client:
            refused = await Session(client).call("add_memory", text="x")
            assert refused.is_error
            assert "not been seen to be good" in refused.text
            assert "msk_any" not in await Session(client).read("memsys://queue")
            assert json.loads(await Session(client).read("memsys://queue"))["writes"] == []
        assert 'memsys_mcp_queue_items{state="waiting"} 3.0' in metrics_of(server)
        assert 'memsys_mcp_tool_calls_total{outcome="queued",tool="add_memory"} 3.0' in metrics_of(server)
        server.handle.kill()
        server.handle.wait()
        assert "while away" not in server.logged()

        api.down = False
        second = start(stack, url, tmp_path)
        async with fastmcp.Client(http(Target(second.url, url, "msk_any", "alpha"))) as client:
            await Session(client).call("list_memories")
        wait_until(lambda: len(api.memories) == 4, "the queue is drained", 30, second)
        assert texts(api) == ["before", "while away 0", "while away 1", "while away 2"]
        keys = [
            headers["idempotency-key"]
            for method, path, headers in api.requests
            if (method, path) == ("POST", "/memories")
        ]
        assert len(set(keys[-3:])) == 3
        wait_until(lambda: 'queue_items{state="waiting"} 0.0' in metrics_of(second), "the metric says so", 10, second)


async def test_what_waits_for_one_project_or_user_is_shown_to_no_other(
    scripted: tuple[ScriptedApi, str], issuer: Issuer, tmp_path: Path
) -> None:
    api, url = scripted
    public = f"http://127.0.0.1:{free_port()}"  # only a name: what tokens are issued for
    settings = {
        "MEMSYS_MCP_AUTH": "keys+oauth",
        "MEMSYS_MCP_API_KEY": "msk_any",
        "MEMSYS_MCP_PUBLIC_URL": public,
        "MEMSYS_MCP_OAUTH_ISSUER": issuer.url,
        "MEMSYS_MCP_OAUTH_USER_CLAIM": "acting_user",
    }

    def token(project: str, user: str, rights: str = "read write") -> str:
        scope = " ".join(f"memsys:project:{project}:{right}" for right in rights.split())
        return issuer.token(f"{public}/p/{project}/mcp", scope, sub="platform", acting_user=user)

    async def use(credentials: str, project: str, text: str | None = None) -> list[str]:
        """Add a text where one is given; what memsys://queue then shows."""
        async with fastmcp.Client(http(Target(server.url, url, credentials, project))) as client:
            if text is not None:
                assert "queued" in (await Session(client).call("add_memory", text=text)).data
            return [write["memory"] for write in json.loads(await Session(client).read("memsys://queue"))["writes"]]

    with ExitStack() as stack:
        server = start(stack, url, tmp_path, **settings)
        for key in ("msk_both", "msk_any"):
            assert await use(key, "alpha") == []  # and is known from now on
        api.down = True
        assert await use("msk_both", "beta", "said in beta") == ["said in beta"]
        assert await use("msk_both", "alpha") == []
        assert await use(token("bank", "ann"), "bank", "ann's vault code") == ["ann's vault code"]
        assert await use(token("shop", "bob", "read"), "shop") == []
        assert await use(token("bank", "bob"), "bank") == []
        assert await use(token("bank", "ann", "read"), "bank") == ["ann's vault code"]


async def test_on_stdio_the_next_start_sends_what_waited(scripted: tuple[ScriptedApi, str], tmp_path: Path) -> None:
    api, url = scripted
    settings = keeping(tmp_path / "queue")
    api.down = True
    async with fastmcp.Client(stdio(Target("", url, "msk_any", "alpha"), **settings)) as client:
        answer = await Session(client).call("add_memory", text="said on the train")
        assert answer.data["queued"] == {"stored": False, "waiting": 1}
    api.down = False
    async with fastmcp.Client(stdio(Target("", url, "msk_any", "alpha"), **settings)):
        wait_until(lambda: texts(api) == ["said on the train"], "what waited is stored", 30)


async def test_on_stdio_two_windows_share_a_folder_and_what_either_adds_is_stored_once(
    scripted: tuple[ScriptedApi, str], tmp_path: Path
) -> None:
    api, url = scripted
    settings = keeping(tmp_path / "queue")
    api.down = True
    async with fastmcp.Client(stdio(Target("", url, "msk_any", "alpha"), **settings)) as staying:
        async with fastmcp.Client(stdio(Target("", url, "msk_any", "alpha"), **settings)) as closing:
            for number, window in enumerate((closing, staying, closing)):
                answer = await Session(window).call("add_memory", text=f"said {number}")
                assert answer.data["queued"] == {"stored": False, "waiting": number + 1}
        api.down = False
        wait_until(lambda: len(api.memories) >= 3, "what both windows kept is stored", 30)
        async with fastmcp.Client(stdio(Target("", url, "msk_any", "alpha"), **settings)) as third:
            assert json.loads(await Session(third).read("memsys://queue"))["writes"] == []
    assert texts(api) == ["said 0", "said 1", "said 2"]
