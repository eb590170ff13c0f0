"""As much of an apiserver as the operator's process asks for, in this process; and that process, with its clock."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web
from aiohttp.test_utils import TestServer

from memsys_operator import names
from memsys_operator.cluster import KINDS
from memsys_operator.observed import Manifest

#: Kopf waits between its tries at an apiserver that fails; here a fiftieth of that. How often it tries stays as it is.
_OPERATOR = """
import asyncio
from kopf._cogs.clients import api

class Hurried:
    def __getattr__(self, name):
        return getattr(asyncio, name)

    async def sleep(self, seconds):
        await asyncio.sleep(seconds / 50)

api.asyncio = Hurried()
from memsys_operator.__main__ import main
main()
"""


class Apiserver:
    """Serves empty lists of every kind, watches in which nothing happens, and the MemorySystems it is given.

    ``fails`` answers the status with which a path fails, 0 where it is served; ``refused`` counts those answers by
    path, ``watched`` the watches that began, and ``statuses`` holds what was written of each system.
    """

    def __init__(self) -> None:
        self.systems: dict[tuple[str, str], Manifest] = {}
        self.statuses: dict[tuple[str, str], Manifest] = {}
        self.refused: Counter[str] = Counter()
        self.watched: Counter[str] = Counter()
        self._fails: Callable[[str], int] = lambda _: 0
        self._watches: set[asyncio.Event] = set()

    def fail(self, fails: Callable[[str], int]) -> None:
        """From now on; watches that are open end, as they do with an apiserver that does."""
        self._fails = fails
        self.refused.clear()
        self.watched.clear()
        for end in self._watches:
            end.set()

    def add(self, namespace: str, name: str) -> None:
        """A MemorySystem that costs one pass and one status: its spec is rejected."""
        metadata = {"name": name, "namespace": namespace, "uid": f"uid-of-{name}", "generation": 1}
        spec = {"embedder": {"provider": "unheard-of"}}
        self.systems[namespace, name] = {
            "apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": metadata, "spec": spec,
        }  # fmt: skip

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if found := _discovery(path):
            return web.json_response(found)
        if status := self._fails(path):
            self.refused[path] += 1
            said = {"kind": "Status", "status": "Failure", "code": status, "message": f"{path} fails"}
            return web.json_response(said, status=status)
        if request.query.get("watch"):
            return await self._watch(request)
        if f"/{names.PLURAL}" in path:
            return await self._system(request)
        return web.json_response(_list([]))

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self.watched[request.path] += 1
        stream, end = web.StreamResponse(), asyncio.Event()
        await stream.prepare(request)
        self._watches.add(end)
        await end.wait()
        self._watches.discard(end)
        return stream

    async def _system(self, request: web.Request) -> web.Response:
        parts = request.path.strip("/").split("/")[3:]
        namespace = parts[1] if parts[0] == "namespaces" else ""
        rest = parts[2:] if namespace else parts
        if len(rest) == 1:
            return web.json_response(_list([obj for (ns, _), obj in self.systems.items() if namespace in ("", ns)]))
        key = (namespace, rest[1])
        if request.method == "PATCH":
            self.statuses[key] = json.loads(await request.text())["status"]
        return web.json_response(self.systems[key] | {"status": self.statuses.get(key, {})})


def _list(items: list[Manifest]) -> Manifest:
    return {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}


def _discovery(path: str) -> Manifest | None:
    definitions = _resource("CustomResourceDefinition", "customresourcedefinitions")
    kinds: dict[str, list[Manifest]] = {"/apis/apiextensions.k8s.io/v1": [definitions]}
    for kind, (prefix, plural) in KINDS.items():
        kinds.setdefault(prefix, []).append(_resource(kind, plural))
    kinds["/api/v1"].append(_resource("Namespace", "namespaces"))
    groups = [prefix.removeprefix("/apis/") for prefix in kinds if prefix.startswith("/apis/")]
    versions = [{"groupVersion": group, "version": group.split("/")[1]} for group in groups]
    answers: dict[str, Manifest] = {
        "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {
            "kind": "APIGroupList",
            "groups": [
                {"name": version["groupVersion"].split("/")[0], "versions": [version], "preferredVersion": version}
                for version in versions
            ],
        },
    }
    if path in kinds:
        return {"kind": "APIResourceList", "groupVersion": path.split("/", 2)[-1], "resources": kinds[path]}
    return answers.get(path)


def _resource(kind: str, plural: str) -> Manifest:
    verbs = ["get", "list", "watch", "patch", "create", "delete"]
    return {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": verbs}


@contextlib.asynccontextmanager
async def apiserver() -> AsyncIterator[tuple[Apiserver, int]]:
    """One that serves, and its port."""
    served = Apiserver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.answer)
    server = TestServer(app)
    await server.start_server()
    assert server.port is not None
    try:
        yield served, server.port
    finally:
        served.fail(lambda _: 500)
        await server.close()


class Process:
    """The operator, as its image runs it."""

    def __init__(self, process: asyncio.subprocess.Process, health_port: int, log: Path) -> None:
        self._process = process
        self._url = f"http://127.0.0.1:{health_port}"
        self._log = log

    async def get(self, path: str) -> int:
        """The status with which it answers; 0 while it does not."""
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            try:
                return (await client.get(self._url + path)).status_code
            except httpx.HTTPError:
                return 0

    async def end(self, within: float) -> int:
        """Its exit status after SIGTERM."""
        self._process.terminate()
        return await self.ended(within)

    async def ended(self, within: float) -> int:
        """Its exit status once it has ended by itself, within so many seconds."""
        return await asyncio.wait_for(self._process.wait(), within)

    def log(self) -> str:
        return self._log.read_text()


@contextlib.asynccontextmanager
async def operator(port: int, folder: Path, **env: str) -> AsyncIterator[Process]:
    """The operator's process against the apiserver at ``port``; killed in the end if it still runs."""
    cluster: dict[str, Any] = {"server": f"http://127.0.0.1:{port}"}
    kubeconfig = {
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": cluster}],
        "users": [{"name": "x", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }  # fmt: skip
    (folder / "kubeconfig").write_text(json.dumps(kubeconfig))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        health_port = free.getsockname()[1]
    own = {"KUBECONFIG": str(folder / "kubeconfig"), "MEMSYS_HEALTH_PORT": str(health_port), **env}
    log = folder / "log"
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _OPERATOR, env={**os.environ, **own}, stdout=sink, stderr=sink
        )
    try:
        yield Process(process, health_port, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
