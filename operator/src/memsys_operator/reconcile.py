"""One pass over one system: observe -> plan -> act -> report."""

from __future__ import annotations

import dataclasses
import logging
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from memsys_operator import conditions, credentials, events, metrics, names, resources, startup
from memsys_operator.cluster import Cluster, ClusterError, Refused
from memsys_operator.conditions import Findings
from memsys_operator.credentials import Generators
from memsys_operator.errors import Broken, OperatorError, Rejected
from memsys_operator.keys.api import Endpoint, KeysAPI
from memsys_operator.keys.steward import Steward
from memsys_operator.observed import Key, Manifest, Observed, key_of, secret_values
from memsys_operator.plan import FIRST, Action, Apply, Create, Delete, Release, plan, releases, target
from memsys_operator.resources import expose, references, storage
from memsys_operator.resources.addresses import addresses
from memsys_operator.settings import Settings
from memsys_operator.spec import Ref, Sync, System, graph_looks, parse
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
    the result shall be looked at; ``graph`` while its API can be asked, and ``walk`` where its comparison stood;
    ``graphless`` when there shall be none, and all that was known of one says nothing of the next.
    ``failure`` is what the apiserver refused, which another try may mend; all else holds nevertheless."""

    gone: bool = False
    again: bool = False
    graph: GraphTarget | None = None
    walk: Walk = field(default_factory=Walk)
    graphless: bool = False
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

        What is refused keeps nothing else from being done: the other objects, the report, the keys.
        """
        obj = await self._cluster.system(ref)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            why = f"there is no MemorySystem {ref.name} in namespace {ref.namespace}"
            return Outcome(gone=True, failure=await self._look_after_keys(ref, None, why, {}))
        try:
            system = parse(obj)
        except Rejected as error:
            return await self._reject(obj, error, sync)
        wanted = references.secret_names(system) | set(expose.tls_secrets(system).values())
        observed = await self._cluster.observe(ref, wanted)
        if system.spec.expose is not None and (gateway := system.spec.expose.gateway) is not None:
            found = await self._cluster.gateway(gateway.namespace or ref.namespace, gateway.name)
            observed = dataclasses.replace(observed, gateway=found)
        if system.spec.expose is not None and (named := system.spec.expose.class_name) is not None:
            observed = dataclasses.replace(observed, ingress_class=await self._cluster.ingress_class(named))
        if classes := storage.growing(system, observed):
            observed = dataclasses.replace(observed, expandable=await self._cluster.expandable(classes))
        owned = await self._release(obj, observed)
        findings, failure = await self._act(system, observed)
        obstacles, notes = [*findings.obstacles, *owned], storage.notes(system, observed)
        findings = dataclasses.replace(findings, obstacles=obstacles, notes=notes, sync=sync)
        unreported = await self._report(obj, system, observed, findings)
        endpoint = self._endpoint(ref, observed, system.spec.api.token_review)
        unkept: OperatorError | None = None
        if not system.spec.paused:
            why = f"waits for the API of MemorySystem {ref.name} to be ready"
            unkept = await self._look_after_keys(ref, endpoint, why, addresses(system))
        return Outcome(
            again=findings.changes > 0,
            graph=_graph_target(endpoint, system.spec.sync) if system.graph_enabled else None,
            walk=restored((obj.get("status") or {}).get("sync") or {}),
            graphless=not system.graph_enabled,
            failure=failure or unreported or unkept,
        )

    async def _reject(self, obj: Manifest, problem: Rejected, sync: SyncReport | None) -> Outcome:
        """Report a spec that cannot be carried out, and go on with what the status knows of the system as it runs: its
        keys come, rotate and end, and its graph is watched."""
        ref = Ref(obj["metadata"]["namespace"], obj["metadata"]["name"])
        observed = await self._cluster.observe(ref)
        owned = await self._release(obj, observed)
        unreported = await self._report(obj, None, observed, Findings(problem=problem, obstacles=owned, sync=sync))
        spec, known = obj.get("spec") or {}, obj.get("status") or {}
        urls = known.get("endpoints") or {}
        reviews = (spec.get("api") or {}).get("tokenReview", False)
        endpoint = self._endpoint(ref, observed, reviews) if "api" in urls else None
        unkept: OperatorError | None = None
        if not spec.get("paused"):
            unkept = await self._look_after_keys(
                ref, endpoint, f"the spec of MemorySystem {ref.name} is rejected", urls
            )
        return Outcome(
            graph=_graph_target(endpoint, graph_looks(obj)) if "sync" in known else None,
            walk=restored(known.get("sync") or {}),
            failure=unreported or unkept,
        )

    async def _look_after_keys(
        self, ref: Ref, endpoint: Endpoint | None, why: str, urls: Mapping[str, str]
    ) -> ClusterError | None:
        """Answers what the apiserver refused: the system's own pass does not fail by its keys."""
        try:
            services = {part: url for part, url in urls.items() if part in (names.API, names.MCP)}
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

    async def _act(self, system: System, observed: Observed) -> tuple[Findings, OperatorError | None]:
        """What was found and done, and what another try may mend."""
        waiting = startup.holds(system, observed)
        obstacles = storage.obstacles(system, observed)
        if system.spec.paused:
            return Findings(obstacles=obstacles), None
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
        except ClusterError as error:
            return Findings(obstacles=obstacles, waiting={"apiserver": error, **waiting}), error
        except OperatorError as error:
            return Findings(problem=error, obstacles=obstacles, waiting=waiting), None
        changes, failures = await self._carry_out(system, actions)
        passing = [error for error in failures.values() if not isinstance(error, Refused | Rejected)]
        found = Findings(
            obstacles=obstacles,
            refused={key: error for key, error in failures.items() if isinstance(error, Refused | Rejected)},
            graph_problem=settled.graph_problem,
            waiting={**({"apiserver": passing[0]} if passing else {}), **waiting},
            changes=changes,
        )
        return found, next((error for error in failures.values() if not isinstance(error, Rejected)), None)

    async def _carry_out(self, system: System, actions: Sequence[Action]) -> tuple[int, dict[Key, OperatorError]]:
        """How many actions were carried out, and what kept the others from it, by the object.

        Nothing follows a Secret or a NetworkPolicy that could not be written, because pods read the one and are walled
        in by the other; nor an apiserver that does not answer, because the pass would end while it waits.
        """
        changes = 0
        failures: dict[Key, OperatorError] = {}
        for action in actions:
            _log(system.ref, action)
            try:
                await self._cluster.execute(system.namespace, action)
                changes += 1
            except OperatorError as error:
                logger.warning("%s: %s", system.ref, error)
                failures[target(action)] = error
                silent = isinstance(error, ClusterError) and not error.status
                if silent or (isinstance(action, Apply | Create) and action.manifest["kind"] in FIRST):
                    break
        return changes, failures

    async def _report(
        self, obj: Manifest, system: System | None, observed: Observed, findings: Findings
    ) -> ClusterError | None:
        """Write the status where it says something new. Answers why it could not be written."""
        ref = Ref(obj["metadata"]["namespace"], obj["metadata"]["name"])
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        before = obj.get("status") or {}
        status = conditions.status(obj, system, observed, findings, now)
        metrics.record_status(ref.namespace, ref.name, status)
        if status == before:
            return None
        try:
            await self._cluster.write_status(ref, status)
        except ClusterError as error:
            return error
        for notice in events.transitions(before.get("conditions") or (), status["conditions"]):
            logger.info("%s: %s: %s", ref, notice.reason, notice.note)
            try:
                await self._cluster.post_event(obj, notice.kind, notice.reason, notice.note)
            except ClusterError as error:
                # The status has been written and says the same; an Event is not worth another pass.
                logger.warning("%s: the event %s could not be recorded: %s", ref, notice.reason, error)
        return None

    def _endpoint(self, ref: Ref, observed: Observed, reviews_tokens: bool) -> Endpoint | None:
        """Where to ask the system's API as it runs, whatever the spec says by now; None while it serves nothing."""
        workload = observed.get("Deployment", names.component(ref.name, names.API))
        service = observed.get("Service", names.component(ref.name, names.API))
        secret = observed.get("Secret", names.admin_key_secret(ref.name))
        if not conditions.serving(workload) or service is None or secret is None:
            return None
        # By its name: others may have added ports.
        port = next((each["port"] for each in service["spec"]["ports"] if each.get("name") == "http"), None)
        if port is None:
            return None
        url = self._settings.api_url_template.format(
            service=names.component(ref.name, names.API),
            namespace=ref.namespace,
            port=port,
        )
        return Endpoint(url, secret_values(secret).get("key", ""), reviews_tokens)


def _graph_target(endpoint: Endpoint | None, sync: Sync) -> GraphTarget | None:
    if endpoint is None:
        return None
    return GraphTarget(endpoint.url, endpoint.admin_key, sync.interval_seconds, sync.drift_interval_seconds)


def _log(ref: Ref, action: Action) -> None:
    if isinstance(action, Delete):
        logger.info("%s: delete %s %s", ref, *action.key)
    elif isinstance(action, Release):
        logger.info("%s: release %s %s, which deletionPolicy: Retain keeps", ref, *action.key)
    elif isinstance(action, Create):
        logger.info("%s: create Secret %s", ref, action.manifest["metadata"]["name"])
    else:
        kind, name = key_of(action.manifest)
        logger.info("%s: apply %s %s: %s", ref, kind, name, ", ".join(action.because[:5]))
