"""The Claude Code CLI as users have it: it connects over every transport, and says so where it cannot."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import pytest

from . import npm, page
from .clients import Target
from .processes import Process


@pytest.fixture(scope="session")
def programs() -> Path:
    return npm.installed("claude-code")


def states(listed: str) -> dict[str, str]:
    """What ``claude mcp list`` says of each server."""
    return {line.partition(":")[0]: line for line in listed.splitlines() if ":" in line}


def test_it_connects_over_http_sse_and_stdio_and_not_with_a_wrong_key(
    programs: Path, target: Target, real_mcp: Process, tmp_path: Path
):
    directory = tmp_path / "checkout"
    directory.mkdir()
    claude = partial(npm.run, programs, "claude", "mcp", directory=directory, home=tmp_path)
    bearer = f"Authorization: Bearer {target.key}"
    http, sse = ("add", "--transport", "http"), ("add", "--transport", "sse")
    in_path = f"{target.mcp_url}/p/{target.project}/mcp"
    claude(*http, "by-path", in_path, "--header", bearer)
    by_header = ("--header", bearer, "--header", f"X-Memsys-Project: {target.project}")
    claude(*http, "by-header", f"{target.mcp_url}/mcp", *by_header)
    claude(*sse, "by-sse", f"{target.mcp_url}/sse", "--header", bearer)
    claude(*http, "wrong-key", in_path, "--header", "Authorization: Bearer msk_wrong")
    settings = ("-e", f"MEMSYS_API_URL={target.api_url}", "-e", f"MEMSYS_API_KEY={target.key}")
    # Claude Code starts it with the environment of the CLI, which here knows no source tree.
    paths = ("-e", f"PYTHONPATH={':'.join(path for path in sys.path if path)}")
    claude("add", "by-stdio", *settings, *paths, "--", sys.executable, "-m", "memsys_mcp", "--stdio")
    listed = claude("list")
    for name in ("by-path", "by-header", "by-sse", "by-stdio"):
        assert "Connected" in states(listed)[name], f"{listed}\n{real_mcp.logged()[-2000:]}"
    assert "Failed to connect" in states(listed)["wrong-key"], listed


@pytest.mark.parametrize("heading", ["## 2. Connect", "**SSE**, for clients"])
def test_what_the_page_says_to_type_connects(programs: Path, target: Target, tmp_path: Path, heading: str):
    """In a shell that has what the page's first step exports; the key stays in the environment."""
    typed = page.typed_under(heading, target.project)
    directory = tmp_path / "checkout"
    directory.mkdir()
    variables = {"MEMSYS_MCP_URL": target.mcp_url, "MEMSYS_API_KEY": target.key}
    script = tmp_path / "typed.sh"
    script.write_text(f"set -e\n{typed}\nclaude mcp list\n")
    listed = npm.run(programs, "bash", str(script), directory=directory, home=tmp_path, variables=variables)
    assert "Connected" in states(listed)["memsys"], listed
    assert target.key not in (tmp_path / ".claude.json").read_text()


def test_a_file_checked_in_by_a_team_takes_address_and_key_from_the_environment(
    programs: Path, target: Target, tmp_path: Path
):
    directory = tmp_path / "checkout"
    directory.mkdir()
    servers = json.loads(page.typed_under("check this in as `.mcp.json`:", target.project))
    (directory / ".mcp.json").write_text(json.dumps(servers))
    # Trust is asked for in a dialogue on the first start; this is what it writes.
    trusted = {"projects": {str(directory): {"hasTrustDialogAccepted": True, "enabledMcpjsonServers": ["memsys"]}}}
    (tmp_path / ".claude.json").write_text(json.dumps(trusted))
    variables = {"MEMSYS_MCP_URL": target.mcp_url, "MEMSYS_API_KEY": target.key}
    listed = npm.run(programs, "claude", "mcp", "list", directory=directory, home=tmp_path, variables=variables)
    assert "Connected" in states(listed)["memsys"], listed
