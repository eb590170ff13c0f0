"""The Claude Code CLI as users have it: it connects over every transport, and says so where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from .clients import Target
from .processes import cache, held

VERSION = "2.1.197"
INSTALL_SECONDS = 280
RUN_SECONDS = 100


@pytest.fixture(scope="session")
def claude() -> Path:
    """The CLI, installed once into the cache."""
    npm = shutil.which("npm")
    assert npm, "npm is not installed; on Debian: apt-get install npm"
    folder = cache() / "npm" / f"claude-code-{VERSION}"
    with held(folder):
        if not (folder / "complete").exists():
            package = f"@anthropic-ai/claude-code@{VERSION}"
            command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), package]
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
            assert done.returncode == 0, done.stderr
            (folder / "complete").touch()
    return folder / "node_modules" / ".bin" / "claude"


@dataclass
class Claude:
    """The CLI of a user with a home and a project directory of their own."""

    binary: Path
    home: Path
    directory: Path

    def __call__(self, *arguments: str) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
        done = subprocess.run(
            [self.binary, *arguments],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
        )
        assert done.returncode == 0, f"claude {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def user(claude: Path, tmp_path: Path) -> Claude:
    directory = tmp_path / "home" / "checkout"
    directory.mkdir(parents=True)
    return Claude(claude, tmp_path / "home", directory)


def test_it_connects_over_http_sse_and_stdio_and_not_with_a_wrong_key(user: Claude, target: Target):
    bearer = f"Authorization: Bearer {target.key}"
    in_path = f"{target.mcp_url}/p/{target.project}/mcp"
    header = f"X-Memsys-Project: {target.project}"
    user("mcp", "add", "--transport", "http", "by-path", in_path, "--header", bearer)
    anywhere = f"{target.mcp_url}/mcp"
    user("mcp", "add", "--transport", "http", "by-header", anywhere, "--header", bearer, "--header", header)
    user("mcp", "add", "--transport", "sse", "by-sse", f"{target.mcp_url}/sse", "--header", bearer)
    user("mcp", "add", "--transport", "http", "wrong-key", in_path, "--header", "Authorization: Bearer msk_wrong")
    settings = ["-e", f"MEMSYS_API_URL={target.api_url}", "-e", f"MEMSYS_API_KEY={target.key}"]
    user("mcp", "add", "by-stdio", *settings, "--", sys.executable, "-m", "memsys_mcp", "--stdio")
    listed = user("mcp", "list")
    state = {line.partition(":")[0]: line for line in listed.splitlines() if ":" in line}
    for name in ("by-path", "by-header", "by-sse", "by-stdio"):
        assert "Connected" in state[name], listed
    assert "Failed to connect" in state["wrong-key"], listed
