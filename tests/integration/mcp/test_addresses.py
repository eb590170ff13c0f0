"""Where the servers listen, as the operator starts them, and by which way the MCP server asks the API."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest

from .processes import free_port, python_module, served
from .scripted_api import ScriptedApi

API = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "MEMSYS_ADMIN_KEY": "k" * 16, "GRAPH_STORE": "none"}


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
@pytest.mark.parametrize(("module", "settings"), [("memsys_api", API), ("memsys_mcp", {})])
def test_a_pod_is_reached_at_whichever_address_it_has(
    module: str, settings: dict[str, str], model_dir: Path, tmp_path: Path
) -> None:
    started = {"MEMSYS_HOST": "*", "MEMSYS_MODEL_DIR": str(model_dir), **settings}
    with python_module(module, tmp_path / "log", "/healthz", **started) as process:
        port = httpx.URL(process.url).port
        assert httpx.get(f"http://[::1]:{port}/healthz").is_success
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").is_success


def test_no_proxy_of_the_environment_stands_between_the_server_and_the_api(tmp_path: Path) -> None:
    """It would be given the callers' keys. Nothing listens at this one's address."""
    proxy = f"http://127.0.0.1:{free_port()}"
    proxies = {"HTTP_PROXY": proxy, "http_proxy": proxy, "ALL_PROXY": proxy, "NO_PROXY": "", "no_proxy": ""}
    scripted = ScriptedApi()
    with served(scripted.app()) as url:
        settings = {"MEMSYS_API_URL": url, **proxies}
        with python_module("memsys_mcp", tmp_path / "log", "/readyz", **settings) as process:
            listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_memories"}}
            headers = {"X-API-Key": "msk_any", "Accept": "application/json, text/event-stream"}
            assert httpx.post(f"{process.url}/p/alpha/mcp", json=listing, headers=headers).is_success
            assert scripted.requests[-1][2]["authorization"] == "Bearer msk_any"
