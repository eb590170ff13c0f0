from __future__ import annotations

import socket
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

import memsys
from memsys_operator.observed import Observed
from memsys_operator.resources import expose
from memsys_operator.resources import mcp as mcp_manifests
from memsys_operator.spec import System
from tests.support.certificates import Authority
from tests.support.connect_proxy import connect_proxy
from tests.support.ingress_controller import Manifest, controller
from tests.unit.operator.support import desired, system

from ..mcp.clients import Target
from ..mcp.conftest import admin as admin
from ..mcp.conftest import model_dir as model_dir
from ..mcp.conftest import real_api as real_api
from ..mcp.processes import Process, free_port, python_module, wait_until

MCP_HOST, API_HOST = "memory.example.com", "memory-api.example.com"
#: What the controller does where an object says nothing; tests of silence wait for a small multiple of it.
DEFAULT_TIMEOUT = "1s"
HOSTS = {"mcp": {"host": MCP_HOST}, "api": {"host": API_HOST}}
WAYS = {
    "Ingress": HOSTS | {"className": "haproxy", "tls": {"secretName": "memory-tls"}},
    "HTTPRoute": HOSTS | {"gateway": {"name": "public", "sectionName": "https"}},
}


@dataclass(frozen=True)
class WayIn:
    """The cluster seen from outside."""

    mcp_url: str
    api_url: str
    plain: str
    secure: tuple[str, int]
    ca: Path
    proxy: str

    @property
    def variables(self) -> Mapping[str, str]:
        """What a client needs in its environment: whom to trust, and the way to the names."""
        return {
            "NODE_EXTRA_CA_CERTS": str(self.ca),
            "NODE_USE_ENV_PROXY": "1",
            "SSL_CERT_FILE": str(self.ca),
            "HTTPS_PROXY": self.proxy,
            "https_proxy": self.proxy,
        }


def exposed(way: str) -> System:
    return system({"expose": WAYS[way], "mcp": {"replicas": 2}})


def made(target: System) -> list[Manifest]:
    """What the operator makes in a cluster that knows Gateways: the ways in, and the Services behind them."""
    services = [found for found in desired(target) if found["kind"] == "Service"]
    return [*expose.manifests(target, Observed(http_routes=True)), *services]


@pytest.fixture(scope="session")
def replicas(real_api: Process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Process]]:
    """Two MCP servers that go by the names that the operator tells them."""
    settings = mcp_manifests.environment(exposed("Ingress"))
    hosts = str(settings["MEMSYS_MCP_ALLOWED_HOSTS"])
    folder = tmp_path_factory.mktemp("replicas")
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                python_module(
                    "memsys_mcp",
                    folder / f"{number}.log",
                    "/readyz",
                    MEMSYS_API_URL=real_api.url,
                    MEMSYS_MCP_ALLOWED_HOSTS=hosts,
                )
            )
            for number in range(2)
        ]


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


class Opener:
    """Puts a controller in front of the replicas and the API."""

    def __init__(
        self, stack: ExitStack, folder: Path, authority: Authority, replicas: list[Process], api: Process
    ) -> None:
        self._stack, self._folder, self._authority = stack, folder, authority
        self._endpoints = {
            "m-mcp": [replica.url.removeprefix("http://") for replica in replicas],
            "m-api": [api.url.removeprefix("http://")],
        }

    def __call__(self, manifests: list[Manifest]) -> WayIn:
        folder = self._folder / uuid.uuid4().hex[:6]
        secret = self._authority.secret("memory-tls", MCP_HOST, API_HOST)
        plain, secure = free_port(), free_port()
        running: subprocess.Popen[bytes] = self._stack.enter_context(
            controller(
                manifests,
                [secret],
                self._endpoints,
                ports=(plain, secure),
                folder=folder,
                default_timeout=DEFAULT_TIMEOUT,
            )
        )
        process = Process(f"http://127.0.0.1:{plain}", folder / "haproxy.log", running)
        wait_until(lambda: _listens(secure), "HAProxy listens", 20, process)
        ca = folder / "ca.pem"
        ca.write_text(self._authority.certificate)
        proxy = self._stack.enter_context(connect_proxy(secure))
        urls = expose.urls(exposed("Ingress"), Observed())
        mcp_url = urls["mcpExternal"].removesuffix("/mcp")
        return WayIn(mcp_url, urls["apiExternal"], process.url, ("127.0.0.1", secure), ca, proxy)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def open_way(
    replicas: list[Process], real_api: Process, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opener]:
    with ExitStack() as stack:
        yield Opener(stack, tmp_path_factory.mktemp("ingress"), authority, replicas, real_api)


@pytest.fixture(scope="session", params=list(WAYS))
def way_in(request: pytest.FixtureRequest, open_way: Opener) -> WayIn:
    """Through what the operator makes, of either kind."""
    return open_way(made(exposed(request.param)))


@pytest.fixture
def target(way_in: WayIn, admin: memsys.Client, monkeypatch: pytest.MonkeyPatch) -> Target:
    """A project nobody used before, a key for it alone, and an environment in which clients find the way."""
    for name, value in way_in.variables.items():
        monkeypatch.setenv(name, value)
    project = f"p-{uuid.uuid4().hex[:10]}"
    key = admin.create_key("test", projects=[project]).key
    return Target(way_in.mcp_url, way_in.api_url, key, project)
