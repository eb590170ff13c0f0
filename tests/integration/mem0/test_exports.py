"""Exports by schema through mem0's own clients, of both languages, where there is a language model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mem0 import AsyncMemoryClient, MemoryClient
from mem0.exceptions import MemoryError
from pydantic import BaseModel

from tests.support.scripted_llm import Reply, ScriptedLLM

from ..conftest import Dsn, listening
from ..mcp import npm

SHAPED = {"full_name": "Alice Liddell", "drinks": ["tea"]}


class _Profile(BaseModel):
    full_name: str
    drinks: list[str] = []


@pytest.fixture
def host(dsn: Dsn) -> Iterator[str]:
    with ScriptedLLM() as llm:
        llm.answer = lambda call: Reply(json.dumps(SHAPED), delay=0.1)
        settings = {"LLM_PROVIDER": "openai", "LLM_MODEL": "scripted", "LLM_BASE_URL": llm.openai_url}
        with listening(dsn, LLM_API_KEY="k", **settings) as address:
            yield address


def _made(fetch: Callable[[], Any]) -> Any:
    """What is fetched once it is made; until then the client raises what it is told."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return fetch()
        except MemoryError as error:
            if error.details["type"] != "https://memsys.dev/problems/export-waits" or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize("schema", [_Profile.model_json_schema(), json.dumps(_Profile.model_json_schema())])
def test_the_python_client_asks_for_and_fetches_an_export(host: str, key: str, schema: Any) -> None:
    client = MemoryClient(api_key=key, host=host)
    client.add("Alice Liddell drinks tea", user_id="alice", infer=False)
    asked = client.create_memory_export(schema, filters={"user_id": "alice"}, export_instructions="be brief")
    assert _made(lambda: client.get_memory_export(memory_export_id=asked["id"])) == SHAPED
    assert client.get_memory_export(filters={"AND": [{"user_id": "alice"}]}) == SHAPED
    assert client.get_memory_export(user_id="alice") == SHAPED
    with pytest.raises(MemoryError, match="no such export"):
        client.get_memory_export(user_id="bob")


async def test_so_does_the_asynchronous_one(host: str, key: str) -> None:
    async with AsyncMemoryClient(api_key=key, host=host) as client:
        await client.add("Alice Liddell drinks tea", user_id="alice", infer=False)
        schema: Any = _Profile.model_json_schema()
        asked = await client.create_memory_export(schema, user_id="alice")
        with pytest.raises(MemoryError, match="waits"):
            await client.get_memory_export(memory_export_id=asked["id"])
        blocking = MemoryClient(api_key=key, host=host)
        _made(lambda: blocking.get_memory_export(memory_export_id=asked["id"]))
        assert await client.get_memory_export(memory_export_id=asked["id"]) == SHAPED


WALK = """
import { MemoryClient } from "mem0ai";
const [host, apiKey, schema] = process.argv.slice(2);
const client = new MemoryClient({ apiKey, host });
const filters = { user_id: "alice" };
await client.add([{ role: "user", content: "Alice Liddell drinks tea" }], { userId: "alice", infer: false });
const asked = await client.createMemoryExport({ schema: JSON.parse(schema), filters, exportInstructions: "be brief" });
const fetched = async (query) => {
  for (let tries = 0; ; tries++) {
    try {
      return await client.getMemoryExport(query);
    } catch (error) {
      if (tries > 400 || error.errorCode !== "HTTP_409") throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
};
console.log(JSON.stringify([await fetched({ memoryExportId: asked.id }), await fetched({ filters })]));
"""


def test_so_does_the_npm_client(host: str, key: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node, "node is not installed; on Debian: apt-get install nodejs"
    (tmp_path / "node_modules").symlink_to(npm.installed("mem0ai").parent)
    (tmp_path / "walk.mjs").write_text(WALK)
    done = subprocess.run(
        [node, "walk.mjs", host, key, json.dumps(_Profile.model_json_schema())],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MEM0_TELEMETRY": "false"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    in_its_case = {"fullName": "Alice Liddell", "drinks": ["tea"]}  # the client writes the names so
    assert json.loads(done.stdout.splitlines()[-1]) == [in_its_case, in_its_case]
