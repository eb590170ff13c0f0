"""A cluster held in memory, and passes over the one system in it."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import httpx

from memsys_operator.cluster import ClusterError, Refused
from memsys_operator.errors import Rejected
from memsys_operator.keys.api import KeysAPI
from memsys_operator.observed import Key, Manifest, Observed, key_of
from memsys_operator.plan import Action, Apply, target
from memsys_operator.reconcile import Reconciler
from memsys_operator.spec import Ref
from memsys_operator.sync import SyncReport

from .support import SETTINGS, carry_out, counting, whole

REF = Ref("n", "m")


class Memory:
    """Plays :class:`memsys_operator.cluster.Cluster` for one system; counts every write."""

    def __init__(self, obj: Manifest | None, *objects: Manifest) -> None:
        self.obj = obj
        self.seen = Observed({key_of(o): o for o in objects})
        self.writes: list[str] = []
        self.events: list[tuple[str, str]] = []
        self.refuse: Key | None = None
        self.taken: Key | None = None
        self.refuse_events = False
        self.refuse_keys = False
        self.refuse_status = False
        self.answers = True

    async def system(self, ref: Ref) -> Manifest | None:
        assert ref == REF
        return copy.deepcopy(self.obj)

    async def observe(self, ref: Ref, references: Iterable[str] = ()) -> Observed:
        found = {name: self.seen.get("Secret", name) for name in references}
        return Observed(self.seen.objects, self.seen.pods, found)

    async def expandable(self, storage_classes: Iterable[str]) -> frozenset[str]:
        return frozenset(storage_classes) & {"growing"}

    async def ingress_class(self, name: str) -> bool | None:
        return name == "nginx"

    async def gateway(self, namespace: str, name: str) -> Manifest | None:
        return None

    async def execute(self, namespace: str, action: Action) -> None:
        key = target(action)
        if key == self.taken and isinstance(action, Apply) and action.new:
            raise Rejected(f"{key[0]} {key[1]} does not belong to this system", reason="NameTaken")
        if key == self.refuse:
            if not self.answers:
                raise ClusterError(0, "the apiserver does not answer")
            raise Refused(ClusterError(403, f"PATCH {key}: 403 quota exceeded"), *key)
        self.writes.append(f"{type(action).__name__} {key[0]}/{key[1]}")
        self.seen = carry_out([action], self.seen)

    async def write_status(self, ref: Ref, status: Manifest) -> None:
        if self.refuse_status:
            raise ClusterError(403, "no status")
        self.writes.append("status")
        assert self.obj is not None
        self.obj["status"] = copy.deepcopy(status)

    async def memory_keys(self, ref: Ref) -> list[Manifest]:
        if self.refuse_keys:
            raise ClusterError(0, "the apiserver does not answer")
        return []

    async def drop_annotation(self, ref: Ref, annotation: str) -> None:
        assert self.obj is not None
        del self.obj["metadata"]["annotations"][annotation]
        self.writes.append(f"drop {annotation}")

    async def post_event(self, regarding: Manifest, kind: str, reason: str, note: str) -> None:
        if self.refuse_events:
            raise ClusterError(403, "no events")
        self.events.append((kind, reason))

    def serve(self) -> None:
        """Every workload becomes ready."""
        objects = dict(self.seen.objects)
        for running in whole():
            key = key_of(running)
            if key in objects:
                metadata = {**running["metadata"], **objects[key]["metadata"], "generation": 2}
                objects[key] = {**objects[key], "metadata": metadata, "status": running["status"]}
        self.seen = Observed(objects)

    def condition(self, kind: str) -> dict[str, Any]:
        assert self.obj is not None
        found: dict[str, Any] = next(c for c in self.obj["status"]["conditions"] if c["type"] == kind)
        return found


def no_keys() -> KeysAPI:
    """An API that has never made a key."""
    return KeysAPI(httpx.MockTransport(lambda _: httpx.Response(200, json=[])))


def reconciler(cluster: Memory) -> Reconciler:
    return Reconciler(cluster, SETTINGS, no_keys(), counting())  # type: ignore[arg-type]


async def settle(cluster: Memory, sync: SyncReport | None = SyncReport(available=True)) -> None:  # noqa: B008 - frozen
    """Passes until nothing is left to do; what was created becomes ready between two."""
    for _ in range(10):
        before = len(cluster.writes)
        await reconciler(cluster).run(REF, sync)
        if len(cluster.writes) == before:
            return
        cluster.serve()
    raise AssertionError(f"still writing after ten passes: {cluster.writes[-5:]}")
