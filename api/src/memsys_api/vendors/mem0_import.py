"""The only door to mem0, which phones home and makes folders at import unless told otherwise before."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any


def embedder_factory() -> Any:
    """Return mem0's ``EmbedderFactory``, imported with telemetry off and its folder under the temporary directory."""
    _silence()
    from mem0.utils.factory import EmbedderFactory  # type: ignore[import-untyped]

    return EmbedderFactory


def llm_factory() -> Any:
    """Return mem0's ``LlmFactory``, imported with telemetry off and its folder under the temporary directory."""
    _silence()
    from mem0.utils.factory import LlmFactory

    return LlmFactory


def reranker_factory() -> Any:
    """Return mem0's ``RerankerFactory``, imported with telemetry off and its folder under the temporary directory."""
    _silence()
    from mem0.utils.factory import RerankerFactory

    return RerankerFactory


def load_class(path: str) -> Any:
    """Return one of mem0's classes by the path that its factories name. Raises ``ImportError``."""
    _silence()
    from mem0.utils.factory import load_class as load

    return load(path)


def vector_store_class(provider: str) -> Any:
    """Return mem0's class for a vector store, which makes its collection as soon as it is called."""
    _silence()
    from mem0.utils.factory import VectorStoreFactory

    return load_class(VectorStoreFactory.provider_to_class[provider])


def extraction_prompts() -> tuple[str, str]:
    """Return mem0's system prompt for extraction, and what it adds where an agent, not a user, remembers."""
    _silence()
    from mem0.configs.prompts import ADDITIVE_EXTRACTION_PROMPT, AGENT_CONTEXT_SUFFIX  # type: ignore[import-untyped]

    return str(ADDITIVE_EXTRACTION_PROMPT), str(AGENT_CONTEXT_SUFFIX)


def _silence() -> None:
    os.environ["MEM0_TELEMETRY"] = "False"
    os.environ.setdefault("MEM0_DIR", str(Path(tempfile.gettempdir()) / "memsys-mem0"))
