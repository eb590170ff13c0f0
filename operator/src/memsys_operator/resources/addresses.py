"""Where the parts of a system are reached inside the cluster. Pure."""

from __future__ import annotations

from memsys_operator import names
from memsys_operator.spec import System


def addresses(system: System) -> dict[str, str]:
    """Addresses by part, as ``status.endpoints`` and the Secrets of MemoryKeys tell them."""
    spec = system.spec

    def host(service: str) -> str:
        return f"{service}.{system.namespace}.svc"

    found = {
        "api": f"http://{host(names.component(system.name, names.API))}:{spec.api.port}",
        "mcp": f"http://{host(names.component(system.name, names.MCP))}:{spec.mcp.port}/mcp",
        "postgres": f"{host(names.postgres_service(system.name))}:{spec.postgres.port}",
    }
    if system.runs_neo4j:
        found["neo4j"] = f"bolt://{host(names.component(system.name, names.NEO4J))}:{spec.graph.ports.bolt}"
    return found
