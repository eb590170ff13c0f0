"""Pod disruption budgets, only where there is more than one replica to keep: one pod must stay drainable. Pure."""

from __future__ import annotations

from memsys_operator import names
from memsys_operator.observed import Manifest
from memsys_operator.resources import pods
from memsys_operator.spec import System


def manifests(system: System) -> list[Manifest]:
    replicas = {names.API: system.spec.api.replicas, names.MCP: system.spec.mcp.replicas}
    return [
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": pods.metadata(system, names.component(system.name, part), part),
            "spec": {
                "maxUnavailable": 1,
                # A pod that serves nobody anyway, such as the API's while PostgreSQL is away, holds up no drain.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
                "selector": {"matchLabels": names.selector(system.name, part)},
            },
        }
        for part, count in replicas.items()
        if count > 1
    ]
