"""One pass over one system: observe -> plan -> act -> report."""

from __future__ import annotations

import dataclasses
import logging
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from memsys_operator import conditions, credentials, events, metrics, names, resources, startup
from memsys_operator.cluster import Cluster, ClusterError
from memsys_operator.conditions import Findings
from memsys_operator.credentials import Generators
from memsys_operator.errors import Broken, OperatorError, Rejected
from memsys_operator.keys.api import Endpoint, KeysAPI
from memsys_operator.keys.steward import Steward
from memsys_operator.observed import Manifest, Observed, secret_values
from memsys_operator.plan import Create, Delete, Release, plan, releases
from memsys_operator.resources import expose, references, storage
from memsys_operator.resources.addresses import addresses
from memsys_operator.settings import Settings
from memsys_operator.spec import Ref, System, parse
from memsys_operator.sync import SyncReport, Walk, restored

logger = logging.getLogger(__name__)

_BASE62 = string.ascii_letters + string.digits


def _random(length: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(length))


#: 32 base62 characters (190 bits) for passwords; the admin key has the format of every API key.
RANDOM = Generators(password=lambda: _random(32), admin_key=lambda: f"msk_{_random(12)}_{_random(32)}")


@dataclass(frozen=True, slots=True)
class GraphTarget:
    """Where and how often to ask a system's API about its graph."""

    url: str
    admin_key: str
    interval_seconds: int
    drift_interval_seconds: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What follows from a pass: nothing more for a system that is ``gone``; ``again`` when objects were changed and
    the result shall be looked at; ``graph`` while its API can be asked, and ``walk`` where its comparison stood.
    ``failure`` is what the apiserver refused, which another try may mend; all else holds nevertheless."""

    gone: bool = False
    again: bool = False
    graph: GraphTarget | None = None
    walk: Walk = field(default_factory=Walk)
    failure: OperatorError | None = None


class Reconciler:
    """Holds nothing between passes: all it knows of a system is in the cluster."""

    def __init__(self, cluster: Cluster, settings: Settings, keys: KeysAPI, make: Generators = RANDOM) -> None:
        self._cluster = cluster
        self._keys = Steward(cluster, keys, make.password)
        self._settings = settings
        self._make = make

    async def run(self, ref: Ref, sync: SyncReport | None) -> Outcome:
        """Bring one system nearer to its spec and report. ``sync`` is the newest report of its graph.

        Raises :class:`ClusterError` after reporting, when the apiserver refused something: try again later.
        """
        obj = await self._cluster.system(ref)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            why = f"there is no MemorySystem {ref.name} in namespace {ref.namespace}"
            return Outcome(gone=True, failure=await self._look_after_keys(ref, None, why, {}))
        try:
            system = parse(obj)
        except Rejected as error:
            observed = await self._cluster.observe(ref)
            owned = await self._release(obj, observed)
            await self._report(obj, None, observed, Findings(problem=error, obstacles=owned, sync=sync))
            return Outcome()
        wanted = references.secret_names(system) | set(expose.tls_secrets(system).values())
        observed = await self._cluster.observe(ref, wanted)
        if system.spec.expose is not None and (gateway := system.spec.expose.gateway) is not None:
            found = await self._cluster.gateway(gateway.namespace or ref.namespace, gateway.name)
            observed = dataclasses.replace(observed, gateway=found)
        due = storage.growth(system, observed)
        if due:
            classes = (storage_class for _, _, storage_class in due.values())
            observed = dataclasses.replace(observed, expandable=await self._cluster.expandable(classes))
        owned = await self._release(obj, observed)
        findings, refused = await self._act(system, observed)
        findings = dataclasses.replace(findings, obstacles=[*findings.obstacles, *owned], sync=sync)
        await self._report(obj, system, observed, findings)
        if refused is not None:
            raise refused
        endpoint = self._endpoint(system, observed)
        failure: ClusterError | None = None
        if not system.spec.paused:
            why = f"waits for the API of MemorySystem {ref.name} to be ready"
            services = {part: url for part, url in addresses(system).items() if part in ("api", "mcp")}
            failure = await self._look_after_keys(ref, endpoint, why, services)
        walk = restored((obj.get("status") or {}).get("sync") or {})
        return Outcome(again=findings.changes > 0, graph=_graph_target(system, endpoint), walk=walk, failure=failure)

    async def _look_after_keys(
        self, ref: Ref, endpoint: Endpoint | None, why: str, services: Mapping[str, str]
    ) -> ClusterError | None:
        """Answers what the apiserver refused: the system's own pass does not fail by its keys."""
        try:
            return await self._keys.run(ref, endpoint, why, services)
        except ClusterError as error:
            return error

    async def _release(self, obj: Manifest, observed: Observed) -> list[Broken]:
        """Make ``deletionPolicy: Retain`` true before anything can stop the pass, a rejected spec and ``paused``
        included: what still has the system as its owner is deleted with it, whatever the spec says by then.

        Answers what could not be freed."""
        ref = Ref(obj["metadata"]["namespace"], obj["metadata"]["name"])
        owned: list[Broken] = []
        for release in releases(obj, observed):
            _log(ref, release)
            try:
                await self._cluster.execute(ref.namespace, release)
            except ClusterError as error:
                kind, name = release.key
                said = (
                    f"spec.deletionPolicy: Retain is not in force for {kind} {name}, which would be deleted with the "
                    f"system: its owner reference could not be removed ({error}); do not delete the system before it is"
                )
                owned.append(Broken("RetainNotInForce", said))
        return owned

    async def _act(self, system: System, observed: Observed) -> tuple[Findings, ClusterError | None]:
        waiting = startup.holds(system, observed)
        obstacles = storage.obstacles(system, observed)
        if system.spec.paused:
            return Findings(obstacles=obstacles), None
        changes = 0
        try:
            settled = credentials.settle(system, observed, self._make)
            if settled.reset:
                # Taken back first: one permission is good for one reset, wherever this pass may be cut off.
                await self._cluster.drop_annotation(system.ref, names.RESET_ANNOTATION)
            graph = names.component(system.name, names.NEO4J)
            actions = plan(
                resources.desired(system, self._settings, settled, observed),
                observed,
                generated=names.kept_secrets(system.name),
                held={startup.workload(system, part) for part in waiting},
                spared={("StatefulSet", graph)} if settled.graph_problem else (),
            )
            for action in actions:
                _log(system.ref, action)
                await self._cluster.execute(system.namespace, action)
                changes += 1
        except ClusterError as error:
            return Findings(obstacles=obstacles, waiting={"apiserver": error, **waiting}, changes=changes), error
        except OperatorError as error:
            return Findings(problem=error, obstacles=obstacles, waiting=waiting, changes=changes), None
        return Findings(None, obstacles, settled.graph_problem, waiting, changes), None

    async def _report(self, obj: Manifest, system: System | None, observed: Observed, findings: Findings) -> None:
        ref = Ref(obj["metadata"]["namespace"], obj["metadata"]["name"])
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        before = obj.get("status") or {}
        status = conditions.status(obj, system, observed, findings, now)
        metrics.record_status(ref.namespace, ref.name, status)
        if status == before:
            return
        await self._cluster.write_status(ref, status)
        for notice in events.transitions(before.get("conditions") or (), status["conditions"]):
            logger.info("%s: %s: %s", ref, notice.reason, notice.note)
            try:
                await self._cluster.post_event(obj, notice.kind, notice.reason, notice.note)
            except ClusterError as error:
                # The status has been written and says the same; an Event is not worth another pass.
                logger.warning("%s: the event %s could not be recorded: %s", ref, notice.reason, error)

    def _endpoint(self, system: System, observed: Observed) -> Endpoint | None:
        """Where to ask the system's API; None while it serves nothing."""
        workload = observed.objects.get(startup.workload(system, names.API))
        secret = observed.get("Secret", names.admin_key_secret(system.name))
        if not conditions.serving(workload) or secret is None:
            return None
        url = self._settings.api_url_template.format(
            service=names.component(system.name, names.API),
            namespace=system.namespace,
            port=system.spec.api.port,
        )
        return Endpoint(url, secret_values(secret).get("key", ""))


def _graph_target(system: System, endpoint: Endpoint | None) -> GraphTarget | None:
    if not system.graph_enabled or endpoint is None:
        return None
    sync = system.spec.sync
    return GraphTarget(endpoint.url, endpoint.admin_key, sync.interval_seconds, sync.drift_interval_seconds)


def _log(ref: Ref, action: object) -> None:
    if isinstance(action, Delete):
        logger.info("%s: delete %s %s", ref, *action.key)
    elif isinstance(action, Release):
        logger.info("%s: release %s %s, which deletionPolicy: Retain keeps", ref, *action.key)
    elif isinstance(action, Create):
        logger.info("%s: create Secret %s", ref, action.manifest["metadata"]["name"])
    else:
        manifest = action.manifest  # type: ignore[attr-defined]
        because = ", ".join(action.because[:5])  # type: ignore[attr-defined]
        logger.info("%s: apply %s %s: %s", ref, manifest["kind"], manifest["metadata"]["name"], because)
