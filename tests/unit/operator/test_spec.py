from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from memsys_operator import models
from memsys_operator.errors import Rejected
from memsys_operator.spec import Spec, parse

from .support import memory_system, system

ROOT = Path(__file__).resolve().parents[3]
CRD = yaml.safe_load((ROOT / "crds/memorysystems.memsys.dev.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


def test_an_empty_spec_is_the_builtin_system() -> None:
    parsed = system()
    assert parsed.embedding.identity == f"builtin/{models.BUILTIN_MODEL}/384"
    assert parsed.retains
    assert parsed.graph_enabled


def test_a_field_that_this_operator_does_not_know_is_rejected_by_name() -> None:
    with pytest.raises(Rejected, match=r"spec\.api\.colour"):
        parse(memory_system({"api": {"colour": "red"}}))


def test_a_provider_that_this_operator_does_not_know_is_rejected_by_name() -> None:
    with pytest.raises(Rejected, match=r"spec\.embedder\.provider.*builtin"):
        parse(memory_system({"embedder": {"provider": "telepathy"}}))


@pytest.mark.parametrize("key", ["my key", "a/b/c", "example.com/", "x" * 64, "größe"])
def test_an_annotation_that_kubernetes_would_not_take_is_rejected_by_name(key: str) -> None:
    with pytest.raises(Rejected, match=rf"spec\.expose\.annotations\.{key}: expected a name .*example\.com/name"):
        parse(memory_system({"expose": {"mcp": {"host": "m.test"}, "annotations": {key: "v"}}}))
    with pytest.raises(Rejected, match=rf"spec\.api\.serviceAccountAnnotations\.{key}: "):
        parse(memory_system({"api": {"serviceAccountAnnotations": {key: "v"}}}))


@pytest.mark.parametrize("key", ["a", "A_b.c", "nginx.ingress.kubernetes.io/proxy-read-timeout", "my.org/" + "x" * 63])
def test_an_annotation_that_kubernetes_takes_is_admitted(key: str) -> None:
    parse(memory_system({"expose": {"mcp": {"host": "m.test"}, "annotations": {key: "v"}}}))


def test_the_typed_spec_has_the_defaults_of_the_resource_definition() -> None:
    typed = Spec().model_dump(by_alias=True, exclude_none=True, mode="json")
    assert _without_empty(typed) == _without_empty(_defaults(SCHEMA))


def test_the_typed_spec_has_the_fields_of_the_resource_definition() -> None:
    sample = yaml.safe_load((ROOT / "crds/samples/complete.yaml").read_text())["spec"]
    typed = Spec.model_validate(sample).model_dump(by_alias=True, exclude_none=True, mode="json")
    assert typed == sample


@pytest.mark.parametrize("field", ["embedder", "llm", "reranker", "vectorStore", "graph"])
def test_the_typed_spec_admits_the_providers_of_the_resource_definition(field: str) -> None:
    offered = SCHEMA["properties"][field]["properties"]["provider"]["enum"]
    typed = Spec.model_json_schema(by_alias=True)
    definition = typed["$defs"][typed["properties"][field]["$ref"].rsplit("/", 1)[-1]]["properties"]["provider"]
    assert sorted(definition.get("enum", [definition.get("const")])) == sorted(offered)


def _defaults(schema: dict[str, Any]) -> Any:
    """What the apiserver makes of an empty object."""
    value: dict[str, Any] = dict(schema.get("default", {}))
    for name, node in schema.get("properties", {}).items():
        if name in value or "default" in node:
            chosen = value.get(name, node.get("default"))
            value[name] = {**_defaults(node), **chosen} if isinstance(chosen, dict) else chosen
    return value


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_empty(v) for k, v in value.items() if _without_empty(v) not in ({}, [], ())}
    return value
