"""A MemorySystem can name every provider that the API's image can run, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from memsys_api.embedding import provider_settings as embedding
from memsys_api.inference import provider_settings as inference
from memsys_api.vendors.mem0_import import embedder_factory, llm_factory

CRD = Path(__file__).resolve().parents[3] / "crds/memorysystems.memsys.dev.yaml"
SPEC: dict[str, Any] = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"][
    "properties"
]["spec"]["properties"]
# Whose clients are not in the image; its tests show that a start with them stops and says so.
NOT_INSTALLED = {"litellm", "azure_openai", "azure_openai_structured", "huggingface", "vertexai"}


@pytest.mark.parametrize(
    ("field", "own", "known", "refused"),
    [
        ("embedder", "builtin", embedder_factory().provider_to_class, embedding.REFUSED),
        ("llm", "none", llm_factory().provider_to_class, inference.REFUSED),
    ],
)
def test_every_provider_can_be_named(field: str, own: str, known: set[str], refused: set[str]) -> None:
    offered = SPEC[field]["properties"]["provider"]["enum"]
    assert sorted(offered) == sorted({own, *known} - {*refused} - NOT_INSTALLED)
