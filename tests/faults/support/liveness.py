"""What Kubernetes asks a Neo4j that runs: the probe that is in its image."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from tests.support.neo4j_server import Neo4jServer

PROBE = Path(__file__).parents[3] / "images" / "neo4j" / "memsys-neo4j-alive"
_SECONDS = 10


def alive(server: Neo4jServer) -> bool:
    """Whether the probe passes. A server that does not answer in time fails it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "password").write_text(server.password)
        environment = {
            **os.environ,
            "MEMSYS_SECRETS_DIR": folder,
            "MEMSYS_NEO4J_HOST": server.address,
            "MEMSYS_NEO4J_HTTP_PORT": str(server.http_port),
        }
        try:
            return subprocess.run([PROBE], env=environment, timeout=_SECONDS, capture_output=True).returncode == 0
        except subprocess.TimeoutExpired:
            return False
