"""What the operator counts, in the Prometheus format on ``/metrics``."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter("memsys_reconcile", "Finished passes over a system, by result.", ["result"])
RECONCILE_SECONDS = Histogram("memsys_reconcile_seconds", "Duration of one pass over a system.")
API_WRITES = Counter("memsys_operator_api_writes", "Writes to the Kubernetes API.", ["verb", "kind"])
RESYNCED = Gauge("memsys_operator_last_resync_timestamp_seconds", "When the last resync of all systems ended.")
RESYNC_ALLOWED = Gauge(
    "memsys_operator_resync_allowed_seconds",
    "How long ago the last resync may have been; /readyz answers 503 after that.",
)
SKIPPED = Gauge(
    "memsys_operator_namespaces_skipped", "Namespaces of watchNamespaces in which the systems could not be listed."
)
SYSTEMS = Gauge("memsys_operator_systems", "MemorySystems known to the operator.")
CONDITION = Gauge(
    "memsys_system_condition",
    "1 while the condition of the system has that status, else 0.",
    ["namespace", "name", "type", "status"],
)
GRAPH_PENDING = Gauge("memsys_system_graph_pending", "Memories on their way to the graph.", ["namespace", "name"])
GRAPH_PARKED = Gauge("memsys_system_graph_parked", "Memories that the graph could not take.", ["namespace", "name"])
GRAPH_DRIFTED = Gauge(
    "memsys_system_graph_drifted", "Memories that differ between PostgreSQL and the graph.", ["namespace", "name"]
)

_TRUTHS = ("True", "False", "Unknown")


def record_status(namespace: str, name: str, status: dict[str, object]) -> None:
    """Show one system's conditions and sync numbers as gauges."""
    CONDITION.remove_by_labels({"namespace": namespace, "name": name})  # those that no longer apply
    conditions = status.get("conditions")
    for condition in conditions if isinstance(conditions, list) else []:
        for truth in _TRUTHS:
            value = 1 if condition["status"] == truth else 0
            CONDITION.labels(namespace, name, condition["type"], truth).set(value)
    sync = status.get("sync")
    if isinstance(sync, dict):
        GRAPH_PENDING.labels(namespace, name).set(sync["pending"])
        GRAPH_PARKED.labels(namespace, name).set(sync["parked"])
        GRAPH_DRIFTED.labels(namespace, name).set(sync.get("drifted", 0))
    else:
        _forget_graph(namespace, name)  # numbers of a graph that was switched off would raise alerts for ever


def forget(namespace: str, name: str) -> None:
    """Drop the gauges of a system that is gone."""
    CONDITION.remove_by_labels({"namespace": namespace, "name": name})
    _forget_graph(namespace, name)


def _forget_graph(namespace: str, name: str) -> None:
    for gauge in (GRAPH_PENDING, GRAPH_PARKED, GRAPH_DRIFTED):
        gauge.remove_by_labels({"namespace": namespace, "name": name})
