"""What `cluster expose` was asked for: local ports and the services behind them."""

import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import ClusterError
from .paths import ClusterPaths
from .progress import wait_for

MAPPING = re.compile(r"^(?P<namespace>[a-z0-9-]+)/(?P<service>[a-z0-9-]+):(?P<port>\d+)=(?P<local>\d+)$")


@dataclass(frozen=True)
class Target:
    """A port of a service."""

    namespace: str
    service: str
    port: int

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}:{self.port}"


def parse_mapping(text: str) -> tuple[int, Target]:
    """`NS/SVC:PORT=LOCALPORT` -> (local port, target).

    Raises:
        ClusterError: another form, or a port outside 1-65535.
    """
    found = MAPPING.match(text)
    if not found or not all(1 <= int(found[part]) <= 65535 for part in ("port", "local")):
        raise ClusterError(f"{text!r}: expected NAMESPACE/SERVICE:PORT=LOCALPORT, e.g. default/m-api:8000=8000")
    return int(found["local"]), Target(found["namespace"], found["service"], int(found["port"]))


def load(paths: ClusterPaths) -> dict[int, Target]:
    """The recorded targets by local port."""
    try:
        stored = json.loads(paths.relays.read_text())
    except FileNotFoundError:
        return {}
    return dict(parse_mapping(f"{target}={local}") for local, target in stored.items())


def add(paths: ClusterPaths, fresh: Mapping[int, Target]) -> None:
    """Records more targets; a local port given again is replaced.

    Raises:
        ClusterError: another program listens on a new local port.
    """
    kept = load(paths)
    for local in sorted(set(fresh) - set(kept)):
        _check_free(local)
    merged = {**kept, **fresh}
    temporary = paths.relays.with_suffix(".new")
    temporary.write_text(json.dumps({local: str(target) for local, target in sorted(merged.items())}))
    temporary.replace(paths.relays)


def silent(ports: Mapping[int, object]) -> str | None:
    """The first local port that takes no connection, or None."""
    for port in sorted(ports):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as error:
            return f"127.0.0.1:{port}: {error.strerror or error}"
    return None


def await_answers(fresh: Mapping[int, Target], logs: tuple[Path, ...]) -> None:
    """Waits until a request to each local port is answered, by whatever stands behind it.

    That something listens says little: a relay takes connections before the cluster routes them, and until its new
    configuration holds, the one before it may still lead to a service that is gone.

    Raises:
        ClusterError: one is not answered within a minute.
    """
    wait_for("the services to answer", lambda: _unanswered(fresh), 60, logs)


def _unanswered(ports: Mapping[int, Target]) -> str | None:
    for port, target in sorted(ports.items()):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answered = connection.recv(1)
        except OSError as error:
            return f"127.0.0.1:{port} ({target}): {error.strerror or error}"
        if not answered:
            return f"127.0.0.1:{port} ({target}): connections are closed unanswered; is one of its pods ready?"
    return None


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ClusterError(
                f"cannot relay 127.0.0.1:{port}: {error.strerror}; end what listens there or choose another local port"
            ) from error
