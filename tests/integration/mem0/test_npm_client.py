"""mem0's own npm client, unmodified, given this host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ..mcp import npm

WALK = Path(__file__).with_name("walk.mjs")


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder that the client is installed in, without the stores and providers it could drive in process."""
    return npm.installed("mem0ai").parent


def test_it_works_by_its_host_alone(host: str, key: str, packages: Path, tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node, "node is not installed; on Debian: apt-get install nodejs"
    (tmp_path / "node_modules").symlink_to(packages)
    shutil.copy(WALK, tmp_path)
    done = subprocess.run(
        [node, "walk.mjs", host, key],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MEM0_TELEMETRY": "false"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.splitlines()[-1])

    tea, bikes = "Alice drinks green tea", "Bob repairs motorcycles"
    assert said["project"] == "default"
    assert (said["held"]["memory"], said["held"]["userId"], said["held"]["createdAt"]) == (tea, "alice", "string")
    assert said["held"]["metadata"]["cupSize"] == 3
    assert said["found"] == said["filtered"] == [tea]
    assert said["page"] == {"count": 2, "next": "string", "previous": None, "texts": [bikes]}
    assert said["updated"] == "Alice rests"
    assert said["history"] == [["ADD", None, tea, "alice"], ["UPDATE", tea, "Alice rests", "alice"]]
    assert said["users"] == [["run", "r", 1], ["user", "alice", 1], ["user", "bob", 1]]
    for call, part in (("camel", "write user_id"), ("nothing", "at least one"), ("object", "is not JSON")):
        assert said[call]["name"] == "ValidationError", said[call]
        assert part in said[call]["message"]
    assert (said["judged"]["feedback"], said["judged"]["feedbackReason"]) == ("NEGATIVE", "too short")
    assert (said["unjudged"]["feedback"], said["unjudged"]["message"]) == (None, "Feedback removed")
    for call in ("option", "exported", "webhooks", "profile"):
        assert said[call]["code"] == "HTTP_501", said[call]
    assert said["kept"] == 2
    assert said["left"] == [tea]
    assert said["gone"]["name"] == "MemoryNotFoundError"
    assert said["end"] == 0
