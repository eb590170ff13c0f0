"""How the image starts Neo4j: its entrypoint, run with folders of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import neo4j
import pytest

from tests.support.neo4j_server import free_port, jars

ENTRYPOINT = Path(__file__).parents[3] / "images" / "neo4j" / "memsys-neo4j"


def test_any_password_is_the_one_that_opens_the_graph(tmp_path: Path) -> None:
    """One that looks like an option and has characters outside ASCII, in a container's bare environment."""
    password, bolt = "-Xcörrect-hörse-баттери", free_port()
    home, volume, scratch, secrets = (tmp_path / name for name in ("home", "volume", "scratch", "secrets"))
    for folder in (home / "plugins", volume, scratch, secrets):
        folder.mkdir(parents=True)
    (home / "lib").symlink_to(jars())
    (secrets / "password").write_text(password)
    script = ENTRYPOINT.read_text()
    for fixed, own in (
        ("/var/lib/memsys", volume),
        ("/run/neo4j", scratch),
        ("/usr/local/share/memsys", ENTRYPOINT.parent),
    ):
        assert fixed in script
        script = script.replace(fixed, str(own))
    environment = {
        "PATH": os.environ["PATH"],
        "NEO4J_HOME": str(home),
        "MEMSYS_SECRETS_DIR": str(secrets),
        "MEMSYS_NEO4J_BOLT_PORT": str(bolt),
        "MEMSYS_NEO4J_HTTP_PORT": str(free_port()),
        "NEO4J_server_default__listen__address": "127.0.0.1",
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(["bash", "-c", script], env=environment, stdout=output, stderr=output)
    try:
        with neo4j.GraphDatabase.driver(f"bolt://127.0.0.1:{bolt}", auth=("neo4j", password)) as driver:
            _await(process, driver, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _await(process: subprocess.Popen[bytes], driver: neo4j.Driver, log: Path) -> None:
    for _ in range(120):
        try:
            driver.verify_connectivity()
            return
        except neo4j.exceptions.ServiceUnavailable:
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"it ended:\n{log.read_text()}")
    pytest.fail(f"it does not answer:\n{log.read_text()}")
