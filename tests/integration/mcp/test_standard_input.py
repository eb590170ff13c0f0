"""The server on stdio, spoken to line by line, as no client library would."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

import memsys

from .clients import Target
from .processes import clean_environment

_HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


def _said(lines: IO[bytes], request: int) -> dict[str, Any]:
    for line in lines:
        answer: dict[str, Any] = json.loads(line)
        if answer.get("id") == request:
            return answer
    raise AssertionError("the server has ended")


def test_half_an_emoji_is_answered_and_the_rest_of_the_text_kept(
    target: Target, admin: memsys.Client, tmp_path: Path
) -> None:
    environment = clean_environment(
        MEMSYS_API_URL=target.api_url,
        MEMSYS_API_KEY=target.key,
        MEMSYS_MCP_ISOLATION="manual",
        MEMSYS_MCP_PROJECT=target.project,
    )
    call = {"name": "add_memory", "arguments": {"text": "cut short \ud83d", "metadata": {"whole": "\ud83d\ude00"}}}
    requests: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": _HELLO},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": call},
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "memsys_mcp", "--stdio"],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    patience = threading.Timer(60, process.kill)
    patience.start()
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        for request in requests:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **request}).encode() + b"\n")
            process.stdin.flush()
        answer = _said(process.stdout, 2)
        assert answer["result"]["content"][0]["text"].startswith("Stored")
        process.stdin.close()
        assert process.wait(30) == 0
    finally:
        patience.cancel()
        process.kill()
        process.wait()
    (held,) = admin.with_options(project=target.project).list().results
    assert (held.memory, held.metadata["whole"]) == ("cut short \ufffd", "\U0001f600")
