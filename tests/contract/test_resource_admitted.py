"""The resource definition: what it admits, fills in, shows and describes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from .support import ROOT, Kubectl, System, manifest


def test_a_name_of_forty_characters_is_admitted(namespace: Kubectl) -> None:
    namespace.apply(manifest("a" * 40, {}))


ADMITTED: dict[str, dict[str, Any]] = {
    "openai with a key": {"provider": "openai", "model": "gpt-4.1-mini", "apiKeySecretRef": {"name": "openai"}},
    "a keyless server that speaks openai": {"provider": "openai", "model": "qwen", "baseURL": "http://vllm:8000/v1"},
    "ollama": {"provider": "ollama", "model": "llama3.1", "baseURL": "http://ollama:11434"},
    "anthropic": {"provider": "anthropic", "model": "claude-haiku-4-5", "apiKeySecretRef": {"name": "a", "key": "k"}},
    "a service": {"provider": "gemini", "model": "gemini-2.5-flash", "apiKeySecretRef": {"name": "a", "key": "k"}},
    "a server in the cluster": {"provider": "vllm", "model": "qwen", "baseURL": "http://vllm.models.svc:8000/v1"},
    "an identity of a cloud": {"provider": "aws_bedrock", "model": "amazon.nova-lite-v1:0"},
}


@pytest.mark.parametrize("case", ADMITTED)
def test_every_way_to_a_language_model_is_admitted(system: System, case: str) -> None:
    system.apply({"llm": ADMITTED[case]})
    assert _holds(system.object()["spec"]["llm"], ADMITTED[case])


def test_an_empty_spec_is_filled_with_the_defaults(system: System) -> None:
    system.apply()
    spec = system.object()["spec"]
    assert spec["embedder"] == {"provider": "builtin"}
    assert spec["llm"] == {"provider": "none"}
    assert spec["vectorStore"] == {"provider": "pgvector", "precision": "halfvec", "index": "auto"}
    assert spec["postgres"]["storage"] == {"size": "10Gi"}
    assert spec["reranker"] == {"provider": "none", "topN": 20, "timeoutSeconds": 5}
    assert spec["api"]["retention"] == {"auditDays": 365, "erasureLedgerDays": 0}
    assert spec["deletionPolicy"] == "Retain"


@pytest.mark.parametrize("sample", sorted((ROOT / "crds/samples").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_sample_is_admitted_as_it_stands(namespace: Kubectl, sample: Any) -> None:
    namespace("apply", "-f", str(sample))
    written = yaml.safe_load(sample.read_text())
    stored = namespace.get(
        {"MemorySystem": "memsys", "MemoryKey": "memkey"}[written["kind"]], written["metadata"]["name"]
    )
    assert stored is not None
    assert _holds(stored["spec"], written["spec"])


def test_the_samples_show_every_field(admin: Kubectl) -> None:
    """The complete one shows all but what excludes something that it has; that stands in another."""
    crd = admin.get("crd", "memorysystems.memsys.dev")
    assert crd is not None
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    written = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds/samples").glob("*.yaml")]
    samples = [document["spec"] for document in written if document["kind"] == "MemorySystem"]
    assert set.intersection(*(_missing(schema, sample, "spec") for sample in samples)) <= {
        # The kinds of resources repeat for every container; one of them shows all.
        f"spec.{part}.resources.{which}.{what}"
        for part in ("graph", "postgres", "api", "mcp")
        for which in ("requests", "limits")
        for what in ("cpu", "ephemeral-storage")
    }


def test_the_short_name_the_category_and_the_columns(system: System) -> None:
    system.apply()
    header = system.kubectl("get", "memsys").splitlines()[0].split()
    assert header == ["NAME", "READY", "REASON", "EMBEDDER", "DIMENSIONS", "PENDING", "AGE"]
    assert "m" in system.kubectl("get", "memory")


def test_every_field_is_described(admin: Kubectl) -> None:
    crd = admin.get("crd", "memorysystems.memsys.dev")
    assert crd is not None
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    undescribed = [path for path, node in _fields(schema, "") if path != "metadata" and not node.get("description")]
    assert undescribed == []


def _fields(schema: dict[str, Any], path: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, node in schema.get("properties", {}).items():
        below = f"{path}.{name}".strip(".")
        found += [(below, node), *_fields(node, below), *_fields(node.get("items", {}), below)]
    return found


def _missing(schema: dict[str, Any], value: Any, path: str) -> set[str]:
    missing = set()
    for name, node in schema.get("properties", {}).items():
        below = value.get(name) if isinstance(value, dict) else None
        if below is None:
            missing.add(f"{path}.{name}")
        missing |= _missing(node, below, f"{path}.{name}")
    return missing


def _holds(stored: Any, written: Any) -> bool:
    if isinstance(written, dict):
        return isinstance(stored, dict) and all(_holds(stored.get(k), v) for k, v in written.items())
    return bool(stored == written)
