"""Spec -> manifests: one module per operand, all of them pure."""

from __future__ import annotations

from memsys_operator.credentials import Credentials
from memsys_operator.observed import Manifest, Observed
from memsys_operator.resources import api, credentials, disruption, expose, mcp, neo4j, network, postgres, storage
from memsys_operator.settings import Settings
from memsys_operator.spec import System


def desired(system: System, settings: Settings, secrets: Credentials, observed: Observed) -> list[Manifest]:
    """Everything that shall exist for ``system``, in the order in which it is created: Secrets first.

    ``observed`` is read for three things alone: volume claims, which their StatefulSets make and leave behind, the
    Secrets that the spec refers to, and whether the cluster serves HTTPRoutes.
    """
    return [
        *credentials.secrets(system, secrets),
        *network.manifests(system),
        *storage.claims(system, observed),
        *postgres.manifests(system, settings, secrets),
        *neo4j.manifests(system, settings, secrets),
        *api.manifests(system, settings, secrets, observed),
        *mcp.manifests(system, settings, observed),
        *disruption.manifests(system),
        *expose.manifests(system, observed),
    ]
