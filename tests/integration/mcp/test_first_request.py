"""Nobody waits for what a server could have loaded before it served."""

from __future__ import annotations

import json
import subprocess
import sys

from .processes import clean_environment
from .scripted_api import ScriptedApi

SERVED = """
import json, sys
from starlette.testclient import TestClient
from memsys_mcp.server import create_app
from memsys_mcp.settings import Settings

headers = {"Authorization": "Bearer msk_any", "Accept": "application/json, text/event-stream"}
with TestClient(create_app(Settings()), "http://localhost") as client:
    client.get("/readyz", headers=headers)
    loaded = {*sys.modules}
    answer = client.post(
        "/p/alpha/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}, headers=headers
    )
    print(json.dumps([answer.json(), sorted({*sys.modules} - loaded)]))
"""


def test_the_first_list_of_tools_loads_nothing_more(scripted: tuple[ScriptedApi, str]) -> None:
    _, url = scripted
    ran = subprocess.run(
        [sys.executable, "-c", SERVED],
        env=clean_environment(MEMSYS_API_URL=url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answer, more = json.loads(ran.stdout.splitlines()[-1])
    assert len(answer["result"]["tools"]) == 5, answer
    assert more == []
