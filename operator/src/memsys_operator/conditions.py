"""Observed -> status. Pure.

Conditions follow the Kubernetes conventions and kstatus: ``Ready`` is True while every part that the spec asks for
serves, if only from one pod, ``Reconciling`` while the operator still changes or waits for something, ``Stalled``
when a person must act. ``lastTransitionTime`` changes with the status of a condition alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from memsys_operator import names, problems
from memsys_operator.errors import Broken, OperatorError, Rejected, Waiting
from memsys_operator.observed import Key, Manifest, Observed
from memsys_operator.plan import FIRST
from memsys_operator.resources import expose
from memsys_operator.resources.addresses import addresses
from memsys_operator.spec import Expose, GraphProvider, System, graph_looks, graph_provider
from memsys_operator.sync import GRACE_SECONDS, SyncReport, section

Truth = Literal["True", "False", "Unknown"]

#: Condition type of each part, its label and the kind of its workload, in the order in which they start.
PARTS: tuple[tuple[str, str, str], ...] = (
    ("PostgresReady", names.POSTGRES, "StatefulSet"),
    ("GraphReady", names.NEO4J, "StatefulSet"),
    ("APIReady", names.API, "Deployment"),
    ("MCPReady", names.MCP, "Deployment"),
)


#: The reason of a part that serves with fewer pods than the spec asks for.
PARTLY = "PartlyAvailable"


@dataclass(frozen=True, slots=True)
class Condition:
    type: str
    status: Truth
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What one pass found out beside the observed objects.

    ``problem`` stopped the pass; ``obstacles`` need a person, or time, but stop only a part; ``notes`` are worth
    telling and need neither; ``refused`` holds why objects could not be written: the apiserver does not admit them, or
    their names are taken; ``waiting`` holds why a part is not created yet; ``changes`` counts the writes of this pass.
    """

    problem: OperatorError | None = None
    obstacles: Sequence[OperatorError] = ()
    notes: Sequence[str] = ()
    refused: Mapping[Key, OperatorError] = field(default_factory=dict)
    graph_problem: Broken | None = None
    waiting: Mapping[str, OperatorError] = field(default_factory=dict)
    changes: int = 0
    sync: SyncReport | None = None

    def kept_out(self, key: Key, seen: Observed) -> OperatorError | None:
        """Why an object that is not there cannot be made; None where it is, or nothing is known to be in its way."""
        return self.refused.get(key) if key not in seen.objects else None

    def held_up(self) -> OperatorError | None:
        """Why nothing was made that follows the Secrets and the NetworkPolicies."""
        return next((error for (kind, _), error in self.refused.items() if kind in FIRST), None)


def serving(workload: Manifest | None) -> bool:
    """Whether any replica of a workload is ready; scaled to none it serves nobody, whatever pods are still leaving."""
    if workload is None or workload["spec"].get("replicas", 1) == 0:
        return False
    return bool(workload.get("status", {}).get("readyReplicas"))


def rolling(workload: Manifest | None) -> bool:
    """Whether a workload has yet to reach its newest template."""
    if workload is None:
        return False
    status = workload.get("status", {})
    wanted = workload["spec"].get("replicas", 1)
    return bool(
        (status.get("observedGeneration") or 0) < workload["metadata"].get("generation", 0)
        or (status.get("updatedReplicas") or 0) < wanted
        or (workload["kind"] == "Deployment" and (status.get("replicas") or 0) > wanted)
    )


def stuck(workload: Manifest | None) -> bool:
    """Whether a Deployment has given its newest template up for now: ``progressDeadlineSeconds`` have passed."""
    if workload is None:
        return False
    status = workload.get("status", {})
    if (status.get("observedGeneration") or 0) < workload["metadata"].get("generation", 0):
        return False  # said of an earlier template
    told: Sequence[Mapping[str, Any]] = status.get("conditions") or ()
    return any(c["type"] == "Progressing" and c.get("reason") == "ProgressDeadlineExceeded" for c in told)


def _suffers(workload: Manifest, part: str, seen: Observed) -> problems.Problem | None:
    """What keeps pods of a workload from being ready, or from being there at all."""
    found = problems.worst(seen.pods_of(names.COMPONENT_LABEL, part))
    if found is None or found.reason in problems.PASSING:
        return problems.uncreated(workload) or found
    return found


def rollout(part: str, workload: Manifest | None, seen: Observed) -> OperatorError | None:
    """What keeps a workload from its newest template, also while pods of an earlier one serve; None while nothing is
    known to. One that is stuck needs a person."""
    if not rolling(workload) and not stuck(workload):
        return None
    assert workload is not None  # neither rolls nor is stuck
    found = _suffers(workload, part, seen)
    name = f"{workload['kind']} {workload['metadata']['name']}"
    if stuck(workload):
        because = f": {found.message}" if found else ""
        return Broken("ProgressDeadlineExceeded", f"{name} has made no progress with its newest pods{because}")
    if found is None or found.reason in problems.PASSING:
        return None
    return Waiting(found.reason, f"{name} is being rolled out, but {found.message}")


def part_condition(kind: str, part: str, workload_kind: str, system: str, seen: Observed, found: Findings) -> Condition:
    workload = seen.get(workload_kind, names.component(system, part))
    if unreached := found.kept_out(("Service", names.service(system, part)), seen):
        return Condition(kind, "False", unreached.reason, unreached.message)
    if workload is None:
        if refusal := found.refused.get((workload_kind, names.component(system, part))) or found.held_up():
            return Condition(kind, "False", refusal.reason, refusal.message)
        if reason := found.waiting.get(part) or (found.problem if not isinstance(found.problem, Rejected) else None):
            return Condition(kind, "False", reason.reason, reason.message)
        return Condition(kind, "False", "NotCreated", f"{workload_kind} {names.component(system, part)} does not exist")
    wanted = workload["spec"].get("replicas", 1)
    ready = workload.get("status", {}).get("readyReplicas") or 0
    if wanted == 0:
        name = names.component(system, part)
        scaled = f"{workload_kind} {name} is scaled to no pod; the operator undoes it unless spec.paused is true"
        return Condition(kind, "False", "ScaledToZero", scaled)
    if ready > wanted:  # in a rollout the next pod is ready before the last one leaves
        return Condition(kind, "True", "Available", f"{ready} pods are ready, {wanted} wanted: the others are leaving")
    if ready == wanted:
        return Condition(kind, "True", "Available", f"{ready} of {wanted} pods are ready")
    problem = _suffers(workload, part, seen)
    told = f"{ready} of {wanted} pods are ready"
    if ready:
        return Condition(kind, "True", PARTLY, f"{told}: {problem.message}" if problem else told)
    if problem is None:
        return Condition(kind, "False", "NotReady", told)
    return Condition(kind, "False", problem.reason, problem.message)


def graph_synced(
    name: str, api_ready: bool, sync: SyncReport | None, interval: int, last: Mapping[str, Any] | None = None
) -> Condition:
    """``last`` is the condition as it stands: it holds until the first look after a start of the operator."""
    kind = "GraphSynced"
    if sync is None and api_ready and last:
        return Condition(kind, last["status"], last["reason"], last["message"])
    if sync is None or not api_ready:
        return Condition(kind, "Unknown", "NotChecked", "the API has not been asked yet, or is not ready to answer")
    if sync.error is not None:
        return Condition(kind, "Unknown", "APIUnreachable", sync.error)
    because = f": {sync.last_error}" if sync.last_error else ""
    if sync.login_refused:
        neo4j = names.component(name, names.NEO4J)
        remedy = (
            f"Neo4j keeps the password that its volume was made with: put that back into Secret {neo4j}, or have the "
            f"graph rebuilt from PostgreSQL under another: kubectl delete secret/{neo4j} statefulset/{neo4j} "
            f"pvc/{names.data_claim(name, names.NEO4J)}"
        )
        return Condition(kind, "False", "CredentialsRefused", f"{sync.last_error}. {remedy}")
    if sync.parked:
        return Condition(kind, "False", "Parked", f"{sync.parked} memories are parked{because}")
    if not sync.available and sync.pending:
        said = f"memories wait for the graph; they are stored and follow when it is back{because}"
        return Condition(kind, "False", "GraphUnavailable", said)
    if sync.drift is not None and sync.drift.count:
        said = f"{sync.drift.count} memories differ between PostgreSQL and the graph; they are applied again"
        return Condition(kind, "False", "Drifted", said)
    if stuck := sync.walk.unmended:
        said = f"{stuck} memories differ between PostgreSQL and the graph; applying them again has not helped"
        return Condition(kind, "False", "Drifted", f"{said}: see the API's log")
    if sync.lag_seconds > max(GRACE_SECONDS, 2 * interval):
        return Condition(kind, "False", "Behind", "the graph is behind by more than a minute and is catching up")
    if sync.uncompared is not None:
        said = f"graph and PostgreSQL could not be compared: {sync.uncompared}"
        return Condition(kind, "Unknown", "NotCompared", said)
    if sync.walk.finished is None:
        said = "all that PostgreSQL holds has yet to be compared with the graph for the first time"
        return Condition(kind, "Unknown", "NotCompared", said)
    return Condition(kind, "True", "Synced", "the graph holds every acknowledged memory")


def conditions(
    name: str,
    seen: Observed,
    found: Findings,
    *,
    graph: bool | None = True,
    runs_neo4j: bool = True,
    interval: int = GRACE_SECONDS,
    paused: bool = False,
    last_synced: Mapping[str, Any] | None = None,
) -> list[Condition]:
    """All conditions of the system ``name``, ``Ready`` first. ``graph`` is None where it is not known whether there is
    one."""
    parts = [part_condition(*part, name, seen, found) for part in PARTS]
    api_ready = parts[2].status == "True"
    synced = graph_synced(name, api_ready, found.sync, interval, last_synced)
    kept, claim = "", names.data_claim(name, names.NEO4J)
    if seen.get("PersistentVolumeClaim", claim) is not None:
        kept = f"; PersistentVolumeClaim {claim} is kept and holds what Neo4j knew, erased memories too"
    if graph is None:
        unknown = "whether there is a graph, and where, is not known: the spec is rejected"
        parts[1] = Condition("GraphReady", "Unknown", "Rejected", unknown + kept)
    elif not graph:
        off = "spec.graph.provider is none"
        parts[1] = Condition("GraphReady", "True", "Disabled", off + kept)
        synced = Condition("GraphSynced", "True", "Disabled", off)
    elif not runs_neo4j:
        elsewhere = "the graph is kept in Neptune, outside this cluster; GraphSynced says whether it answers"
        parts[1] = Condition("GraphReady", "True", "External", elsewhere + kept)
    elif found.graph_problem is not None:
        parts[1] = Condition("GraphReady", "False", found.graph_problem.reason, found.graph_problem.message)
    workloads = {part: seen.get(kind, names.component(name, part)) for _, part, kind in PARTS}
    rollouts = [problem for part, workload in workloads.items() if (problem := rollout(part, workload, seen))]
    is_rolling = any(rolling(workload) for workload in workloads.values())
    return [
        _ready(parts, found),
        *parts,
        synced,
        _reconciling(parts, is_rolling, rollouts, found, paused),
        _stalled(found, rollouts),
    ]


def _ready(parts: Sequence[Condition], found: Findings) -> Condition:
    if found.problem is not None:
        return Condition("Ready", "False", found.problem.reason, found.problem.message)
    refusals = {error.reason for error in found.refused.values()}
    # What needs a person is told before what may yet come by itself. A part that waits for another says less than the
    # other itself, which stands before it.
    for part in sorted(parts, key=lambda part: (part.reason not in refusals, part.type == "GraphReady")):
        if part.status != "True":
            subject = part.type.removesuffix("Ready")
            return Condition("Ready", "False", part.reason, f"{subject}: {part.message}")
    return Condition("Ready", "True", "Available", "memories can be written, searched and reached through MCP")


def _obstacles(found: Findings, rollouts: Sequence[OperatorError]) -> list[OperatorError]:
    stopping = (found.problem, found.graph_problem, *found.refused.values(), *found.obstacles, *rollouts)
    return [problem for problem in stopping if isinstance(problem, Rejected | Broken)]


def _reconciling(
    parts: Sequence[Condition], is_rolling: bool, rollouts: Sequence[OperatorError], found: Findings, paused: bool
) -> Condition:
    kind = "Reconciling"
    if paused:
        return Condition(kind, "False", "Paused", "spec.paused is true: nothing is changed until it is false")
    given_up = any(isinstance(problem, Broken) for problem in rollouts)
    if found.problem is not None or found.graph_problem is not None or found.refused or given_up:
        return Condition(kind, "False", "Stalled", "see the condition Stalled")
    if found.waiting:
        first = next(iter(found.waiting.values()))
        return Condition(kind, "True", first.reason, first.message)
    unready = [part.type.removesuffix("Ready") for part in parts if part.status != "True" or part.reason == PARTLY]
    if unready:
        return Condition(kind, "True", "WaitingForReadiness", f"waiting for {', '.join(unready)}")
    if rollouts:
        return Condition(kind, "True", rollouts[0].reason, rollouts[0].message)
    if found.changes or is_rolling:
        return Condition(kind, "True", "RollingOut", "changes are being rolled out")
    for obstacle in found.obstacles:
        if isinstance(obstacle, Waiting):
            return Condition(kind, "True", obstacle.reason, obstacle.message)
    if found.obstacles:
        return Condition(kind, "False", "Stalled", "see the condition Stalled")
    return Condition(kind, "False", "UpToDate", "; ".join(("everything is as the spec asks", *found.notes)))


def _stalled(found: Findings, rollouts: Sequence[OperatorError]) -> Condition:
    if stopping := _obstacles(found, rollouts):
        return Condition("Stalled", "True", stopping[0].reason, "; ".join(str(s.message) for s in stopping))
    return Condition("Stalled", "False", "NotStalled", "nothing needs a person")


def status(obj: Mapping[str, Any], system: System | None, seen: Observed, found: Findings, now: str) -> dict[str, Any]:
    """The whole new ``status`` of ``obj``; ``system`` is None when its spec could not be read.

    ``now`` (RFC 3339) is used only where something changed, so that an unchanged system has an unchanged status.
    """
    name = obj["metadata"]["name"]
    generation = obj["metadata"].get("generation", 0)
    before: Mapping[str, Any] = obj.get("status") or {}
    provider = system.spec.graph.provider if system else _provider(obj, seen)
    interval = (system.spec.sync if system else graph_looks(obj)).interval_seconds
    result: dict[str, Any] = {
        key: before[key] for key in ("adminKeySecret", "embedding", "endpoints", "sync") if key in before
    }
    result["observedGeneration"] = generation
    old = before.get("conditions") or ()
    last = {condition["type"]: condition for condition in old}
    synced = last.get("GraphSynced")
    new = conditions(
        name,
        seen,
        found,
        graph=None if provider is None else provider != "none",
        runs_neo4j=provider == "neo4j",
        interval=interval,
        paused=system.spec.paused if system else False,
        last_synced=synced if synced and synced["reason"] != "Disabled" else None,
    )
    if system is None and (way := last.get("Exposed")):  # nothing is changed about it while the spec is rejected
        new.append(Condition("Exposed", way["status"], way["reason"], way["message"]))
    elif system is not None and system.spec.expose is not None:
        new.append(_exposed(system, system.spec.expose, seen, found))
    result["conditions"] = _dated(new, old, generation, now)
    if system is not None and not isinstance(found.problem, Rejected):
        result |= _facts(system, seen, found, before)
    if provider == "none":
        result.pop("sync", None)
    elif found.sync is not None and found.sync.error is None:
        result["sync"] = section(found.sync, before.get("sync") or {}, now)
    return result


def _provider(obj: Mapping[str, Any], seen: Observed) -> GraphProvider | None:
    """Where the graph of a system is whose spec is rejected, and so not carried out: where it runs, else where the spec
    wants it; None where that cannot be read, or is nowhere although there has been a graph."""
    if seen.get("StatefulSet", names.component(obj["metadata"]["name"], names.NEO4J)) is not None:
        return "neo4j"
    wanted = graph_provider(obj)
    return None if wanted == "none" and "sync" in (obj.get("status") or {}) else wanted


def _exposed(system: System, asked: Expose, seen: Observed, found: Findings) -> Condition:
    """Only of a system that asks for it; ``Ready`` speaks of what serves inside the cluster."""
    kind = "Ingress" if asked.gateway is None else "HTTPRoute"
    ways = [(kind, names.component(system.name, part)) for part in asked.hosts]
    obstacle = next((error for way in ways if (error := found.kept_out(way, seen))), None)
    if problem := obstacle or expose.problem(system, seen):
        return Condition("Exposed", "False", problem.reason, problem.message)
    urls = ", ".join(expose.urls(system, seen).values())
    said = f"requests to {urls} are routed to this system"
    if expose.unpublished(system, seen):
        said = f"the Ingress for {urls} is in place; whether a controller serves it is not known: it has no address yet"
    return Condition("Exposed", "True", "RouteInPlace", said)


def _dated(
    new: Sequence[Condition], old: Sequence[Mapping[str, Any]], generation: int, now: str
) -> list[dict[str, Any]]:
    previous = {condition["type"]: condition for condition in old}
    dated = []
    for condition in new:
        last = previous.get(condition.type, {})
        since = last.get("lastTransitionTime") if last.get("status") == condition.status else None
        dated.append(
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message,
                "observedGeneration": generation,
                "lastTransitionTime": since or now,
            }
        )
    return dated


def _facts(system: System, seen: Observed, found: Findings, before: Mapping[str, Any]) -> dict[str, Any]:
    embedding = system.embedding
    # A Service that has the name of one of ours leads to somebody else's pods.
    own = {
        part: address
        for part, address in addresses(system).items()
        if not found.kept_out(("Service", names.service(system.name, part)), seen)
    }
    facts: dict[str, Any] = {
        "endpoints": own | expose.urls(system, seen),
        "embedding": {
            "provider": embedding.provider,
            "model": embedding.model,
            "dimensions": embedding.dimensions,
            "precision": embedding.precision,
            "index": embedding.index,
            "reason": embedding.reason,
        },
    }
    if found.problem is None or "adminKeySecret" in before:
        facts["adminKeySecret"] = {"name": names.admin_key_secret(system.name), "key": "key"}
    return facts
