"""Callers without a key of their own, and a write that the API was not there for."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastmcp.exceptions import ToolError

from .conftest import ROOT, Installation
from .support.kubectl import Kubectl, System
from .support.memory import session
from .support.static_issuer import StaticIssuer
from .support.waiting import eventually

PROJECT = "called"
PUBLIC_URL = "https://memory.example.com"
RIGHTS = ("read", "write")


@dataclass(frozen=True)
class Callers:
    system: System
    issuer: StaticIssuer

    def token(self, project: str) -> str:
        """An access token for one project, which may read and write."""
        scope = " ".join(f"memsys:project:{project}:{right}" for right in RIGHTS)
        return self.issuer.token(f"{PUBLIC_URL}/p/{project}/mcp", scope)

    def paused(self, value: bool) -> None:
        patch = f'{{"spec": {{"paused": {str(value).lower()}}}}}'
        namespace = self.system.namespace
        self.system.kubectl("patch", "memsys", self.system.name, "--type=merge", "--patch", patch, namespace=namespace)


@pytest.fixture
def callers(kubectl: Kubectl, system: System, sample: dict[str, Any]) -> Iterator[Callers]:
    """The system with an issuer, a key of the MCP server's own, a write queue, and ServiceAccounts let in."""
    namespace = system.namespace
    issuer = StaticIssuer.new(namespace)
    served = kubectl.get("deployment", f"{system.name}-mcp", namespace=namespace)
    image = served["spec"]["template"]["spec"]["containers"][0]["image"]
    key = {"systemRef": {"name": system.name}, "projects": [PROJECT], "rights": list(RIGHTS)}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "agent"}}
    keys = [
        {"apiVersion": "memsys.dev/v1alpha1", "kind": "MemoryKey", "metadata": {"name": "server"}, "spec": key},
        {
            "apiVersion": "memsys.dev/v1alpha1",
            "kind": "MemoryKey",
            "metadata": {"name": "agent"},
            "spec": {**key, "serviceAccount": {"name": "agent"}},
        },
    ]
    changed = copy.deepcopy(sample)
    changed["spec"] |= {
        "api": {"tokenReview": True},
        "mcp": {
            "auth": "keys+oauth",
            "oauth": {"issuers": [issuer.url]},
            "apiKeySecretRef": {"name": "server"},
            "publicURL": PUBLIC_URL,
            "writeQueue": 10,
        },
    }
    review = (
        f"tokenReview.serviceAccounts[0].namespace={namespace},tokenReview.serviceAccounts[0].name={system.name}-api"
    )
    chart = str(ROOT / "charts" / "memsys-operator")
    in_place = ("--namespace", "memsys-system", "--reuse-values")
    kubectl.run("helm", "upgrade", "memsys-operator", chart, *in_place, "--set", review)
    made = [account, *issuer.manifests(image), *keys]
    try:
        for document in [*made, changed]:
            kubectl.apply(document, namespace=namespace)
        system.wait_ready()
        for name in ("server", "agent"):
            kubectl("wait", "--for=condition=Ready", f"memkey/{name}", "--timeout=60s", namespace=namespace)
        kubectl("wait", "--for=condition=Ready", "pod/issuer", "--timeout=60s", namespace=namespace)
        yield Callers(system, issuer)
    finally:
        for document in made:
            kubectl("delete", document["kind"], document["metadata"]["name"], "--wait=false", namespace=namespace)
        kubectl.apply(sample, namespace=namespace)


def test_callers_without_a_key_and_a_write_while_the_api_is_away(
    installation: Installation, kubectl: Kubectl, callers: Callers
) -> None:
    system, namespace = callers.system, callers.system.namespace

    def as_account(path: str, project: str, audience: str = "memsys.dev") -> int:
        token = kubectl("create", "token", "agent", f"--audience={audience}", namespace=namespace).strip()
        headers = {"Authorization": f"Bearer {token}", "X-Memsys-Project": project}
        return httpx.get(installation.api_url + path, headers=headers, trust_env=False).status_code

    eventually("a ServiceAccount's token opens its project", lambda: as_account("/memories", PROJECT) == 200, within=60)
    assert as_account("/memories", "somebody-elses") == 403
    assert as_account("/memories", PROJECT, audience="https://elsewhere.example") == 401

    async def say(project: str, text: str) -> str:
        async with session(installation.mcp_url, callers.token(project), project) as client:
            return str((await client.call_tool("add_memory", {"text": text})).content[0].text)

    def signed_in() -> bool:
        return asyncio.run(say(PROJECT, "Tove signs in with her browser.")).startswith("Stored")

    eventually(
        "an access token opens its project", signed_in, within=60
    )  # the issuer has to be asked for its keys first
    with pytest.raises(ToolError, match="does not allow"):  # the issuer grants it; the server's own key does not
        asyncio.run(say("somebody-elses", "x"))

    callers.paused(True)
    try:
        kubectl("scale", "deployment", f"{system.name}-api", "--replicas=0", namespace=namespace)
        gone = f"--selector={system.selector},app.kubernetes.io/component=api"
        kubectl("wait", "--for=delete", "pod", gone, "--timeout=90s", namespace=namespace)
        system.wait_for("Ready", "False", within=30, reason="ScaledToZero")
        assert asyncio.run(say(PROJECT, "Tove moved to Bergen meanwhile.")).startswith("Queued, not yet stored")
    finally:
        callers.paused(False)

    def stored() -> bool:
        headers = {"Authorization": f"Bearer {system.admin_key}", "X-Memsys-Project": PROJECT}
        listed = httpx.get(f"{installation.api_url}/memories", headers=headers, trust_env=False).json()["results"]
        return sorted(memory["memory"] for memory in listed) == [
            "Tove moved to Bergen meanwhile.",
            "Tove signs in with her browser.",
        ]

    eventually("what was queued is stored, once", stored, within=120)
