"""Names as segments of the apiserver's and the API's paths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from memsys_operator.errors import Rejected
from memsys_operator.keys.api import Endpoint, KeysAPI
from memsys_operator.paths import segment
from memsys_operator.spec import parse

from .support import memory_system

ROOT = Path(__file__).resolve().parents[3]
#: What fields are called that name an object of the cluster, or a part of one.
NAMING = {"name", "namespace", "key", "secretName", "className", "storageClassName", "sectionName"}
ELSEWHERE = ["", ".", "..", "a/status", "../../other/secrets/s"]


@given(st.text(min_size=1).filter(lambda text: text not in ELSEWHERE and "/" not in text))
def test_a_name_is_one_segment_however_a_client_reads_it(name: str) -> None:
    url = httpx.URL(f"http://apiserver/secrets/{segment(name)}/status")
    assert url.path.split("/") == ["", "secrets", name, "status"]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(Rejected, match="cannot be the name of an object; correct the name"):
        segment(name)


async def test_an_id_that_the_api_tells_reaches_no_other_route() -> None:
    asked: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(200, json={})

    keys = KeysAPI(httpx.MockTransport(answer))
    await keys.revoke(Endpoint("http://api.test", "admin"), "a?b#c")
    assert asked == [b"/keys/a%3Fb%23c"]
    for declared in ELSEWHERE:
        with pytest.raises(Rejected):
            await keys.revoke(Endpoint("http://api.test", "admin"), declared)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"embedder": {"apiKeySecretRef": {"name": "../../other/secrets/s"}}}, "spec.embedder.apiKeySecretRef.name"),
        ({"llm": {"apiKeySecretRef": {"name": "s", "key": ".."}}}, "spec.llm.apiKeySecretRef.key"),
        ({"expose": {"mcp": {"host": "a.b"}, "gateway": {"name": ".."}}}, "spec.expose.gateway.name"),
        (
            {"expose": {"mcp": {"host": "a.b"}, "gateway": {"name": "g", "namespace": "a/b"}}},
            "spec.expose.gateway.namespace",
        ),
        ({"expose": {"mcp": {"host": "a.b"}, "tls": {"secretName": "A"}}}, "spec.expose.tls.secretName"),
    ],
)
def test_a_stored_name_that_is_none_is_rejected_by_its_field(spec: dict[str, object], field: str) -> None:
    with pytest.raises(Rejected, match=field):
        parse(memory_system(spec))


@pytest.mark.parametrize("definition", sorted(ROOT.glob("crds/*.memsys.dev.yaml")), ids=lambda path: path.stem)
def test_every_field_that_names_an_object_admits_names_alone(definition: Path) -> None:
    (version,) = yaml.safe_load(definition.read_text())["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    naming = [(path, node) for path, node in fields(spec, "spec") if path.rsplit(".", 1)[-1] in NAMING]
    assert naming
    assert [path for path, node in naming if not {"pattern", "maxLength"} <= set(node)] == []


def fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, node in schema.get("properties", {}).items():
        below = f"{path}.{name}"
        yield below, node
        yield from fields(node, below)
        yield from fields(node.get("items", {}), below)
