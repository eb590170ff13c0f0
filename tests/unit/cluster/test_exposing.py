import json
import socket
from pathlib import Path
from threading import Thread

import pytest
from localcluster import targets
from localcluster.errors import ClusterError
from localcluster.paths import cluster_paths
from localcluster.relay import render
from localcluster.targets import Target, parse_mapping


def test_a_mapping_names_service_and_local_port() -> None:
    assert parse_mapping("default/m-api:8000=18000") == (18000, Target("default", "m-api", 8000))


@pytest.mark.parametrize("text", ["", "m-api:8000=1", "n/s:80", "n/s:x=1", "n/s:0=1", "n/s:80=65536", "n/s:80=1 "])
def test_other_mappings_are_refused_with_the_expected_form(text: str) -> None:
    with pytest.raises(ClusterError, match="expected NAMESPACE/SERVICE:PORT=LOCALPORT"):
        parse_mapping(text)


def test_relays_listen_on_loopback_alone_and_reach_into_the_namespace() -> None:
    config = render({18000: (Target("default", "m-api", 8000), "10.96.3.4")}, "memsys-dev-abc123")
    assert "    bind 127.0.0.1:18000\n" in config
    assert "    server default.m-api 10.96.3.4:8000 namespace memsys-dev-abc123\n" in config
    assert config.count("bind ") == 1


def test_a_port_given_again_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    paths = cluster_paths("dev", tmp_path)
    paths.root.mkdir()
    paths.relays.write_text(json.dumps({"1": "n/a:80", "2": "n/b:80"}))
    targets.add(paths, {2: Target("n", "c", 81)})
    assert targets.load(paths) == {1: Target("n", "a", 80), 2: Target("n", "c", 81)}


def test_a_port_is_exposed_when_what_stands_behind_it_answers() -> None:
    closed, seen = 2, []

    def serve(listener: socket.socket) -> None:
        for _ in range(closed + 1):
            connection, _ = listener.accept()
            with connection:
                seen.append(connection.recv(100))
                if len(seen) > closed:
                    connection.sendall(b"HTTP/1.0 404 Not Found\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        targets.await_answers({listener.getsockname()[1]: Target("n", "s", 80)}, ())
        thread.join(5)
    assert len(seen) == closed + 1, "a connection that is closed unanswered is no answer"


def test_a_local_port_in_use_is_named(tmp_path: Path) -> None:
    paths = cluster_paths("dev", tmp_path)
    paths.root.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=f"127.0.0.1:{port}.*choose another local port"):
            targets.add(paths, {port: Target("n", "s", 80)})
    assert targets.load(paths) == {}
