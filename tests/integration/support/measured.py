"""What the API in this process has told Prometheus."""

from __future__ import annotations

from memsys_api.metrics import REGISTRY


def measured(name: str, **labels: str) -> float:
    """The value of a metric; 0 where nothing was counted under these labels yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0
