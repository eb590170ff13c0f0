"""What may start when: databases at once, the API after PostgreSQL, the MCP server after the API. Pure.

The order holds for creation alone: what runs is never withdrawn because something it needs blinks.
"""

from __future__ import annotations

from memsys_operator import names
from memsys_operator.conditions import serving
from memsys_operator.errors import OperatorError, Waiting
from memsys_operator.observed import Key, Observed
from memsys_operator.resources import references
from memsys_operator.spec import System


def workload(system: System, part: str) -> Key:
    """The key of the Deployment of the API or the MCP server."""
    return "Deployment", names.component(system.name, part)


def holds(system: System, observed: Observed) -> dict[str, OperatorError]:
    """The parts whose Deployment is left as it is for now, each with what it waits for."""
    waiting: dict[str, OperatorError] = {}
    api_workload = observed.objects.get(workload(system, names.API))
    if sentence := references.missing(system, names.API, observed):
        waiting[names.API] = Waiting("SecretNotFound", sentence)
    elif api_workload is None and not serving(
        observed.get("StatefulSet", names.component(system.name, names.POSTGRES))
    ):
        waiting[names.API] = Waiting("WaitingForPostgres", "the API is created once PostgreSQL is ready")
    if sentence := references.missing(system, names.MCP, observed):
        waiting[names.MCP] = Waiting("SecretNotFound", sentence)
    elif workload(system, names.MCP) not in observed.objects and not serving(api_workload):
        waiting[names.MCP] = Waiting("WaitingForAPI", "the MCP server is created once the API is ready")
    return waiting
