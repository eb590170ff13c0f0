"""Systems and observations to test with."""

from __future__ import annotations

import base64
import copy
import uuid
from typing import Any

from memsys_operator import names, resources
from memsys_operator.credentials import Credentials, Generators, settle
from memsys_operator.observed import Manifest, Observed, key_of
from memsys_operator.plan import Action, Apply, Delete, Release
from memsys_operator.settings import Settings
from memsys_operator.spec import System, parse

SETTINGS = Settings(image_registry="registry.test/memsys", image_tag="1")
UID = "6f0c5a1e-0000-4000-8000-000000000001"


def memory_system(
    spec: dict[str, Any] | None = None, *, annotations: dict[str, str] | None = None, **more: Any
) -> Manifest:
    """A MemorySystem object called ``m`` in namespace ``n``, as the apiserver would answer it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "m", "namespace": "n", "uid": UID, "generation": 3, "annotations": annotations or {}},
        "spec": spec or {},
        **more,
    }


def system(spec: dict[str, Any] | None = None, **more: Any) -> System:
    return parse(memory_system(spec, **more))


def counting() -> Generators:
    """Secrets that are recognisable and all different."""
    made = iter(range(1000))
    return Generators(lambda: f"password-of-test-{next(made)}", lambda: f"msk_of-a-test-{next(made):04}")


def credentials(target: System | None = None, observed: Observed | None = None) -> Credentials:
    return settle(target or system(), observed or Observed(), counting())


def desired(target: System, observed: Observed | None = None) -> list[Manifest]:
    seen = observed or Observed()
    return resources.desired(target, SETTINGS, credentials(target, seen), seen)


def find(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    found = [m for m in manifests if key_of(m) == (kind, name)]
    assert len(found) == 1, f"{kind} {name} among {[key_of(m) for m in manifests]}"
    return found[0]


def seen(*objects: Manifest, pods: tuple[Manifest, ...] = (), **more: Any) -> Observed:
    return Observed({key_of(obj): obj for obj in objects}, pods, **more)


def secret(name: str, values: dict[str, str], annotations: dict[str, str] | None = None) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "n", "annotations": annotations or {}},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


def claim(name: str, size: str = "10Gi", storage_class: str = "standard", phase: str = "Bound") -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "n"},
        "spec": {"storageClassName": storage_class, "resources": {"requests": {"storage": size}}},
        "status": {"phase": phase},
    }


def workload(kind: str, name: str, *, ready: int = 1, replicas: int = 1, updated: int | None = None) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "n", "uid": str(uuid.uuid4()), "generation": 2},
        "spec": {"replicas": replicas},
        "status": {
            "observedGeneration": 2,
            "replicas": replicas,
            "readyReplicas": ready,
            "updatedReplicas": replicas if updated is None else updated,
        },
    }


def whole() -> list[Manifest]:
    """The workloads of a system that serves."""
    return [
        workload("StatefulSet", "m-postgres"),
        workload("StatefulSet", "m-neo4j"),
        workload("Deployment", "m-api"),
        workload("Deployment", "m-mcp"),
    ]


def failing_pod(part: str, waiting: dict[str, str] | None = None) -> Manifest:
    """A pod of a part whose container waits: for an image that does not exist, if nothing else is said."""
    state = waiting or {"reason": "ImagePullBackOff", "message": "no such image"}
    container = {"name": part, "image": "registry.test/gone", "ready": False, "state": {"waiting": state}}
    labels = {"app.kubernetes.io/component": part}
    return {"metadata": {"name": f"m-{part}-new", "labels": labels}, "status": {"containerStatuses": [container]}}


def carry_out(actions: list[Action], observed: Observed) -> Observed:
    """The cluster after the actions, with what an apiserver adds to every object."""
    objects = dict(observed.objects)
    for action in actions:
        if isinstance(action, Delete):
            objects.pop(action.key)
            continue
        if isinstance(action, Release):
            released = copy.deepcopy(objects[action.key])
            meta = released["metadata"]
            meta["ownerReferences"] = [o for o in meta["ownerReferences"] if o["uid"] not in action.owners]
            objects[action.key] = released
            continue
        manifest = copy.deepcopy(action.manifest)
        key = key_of(manifest)
        before = objects.get(key, {"metadata": {"uid": str(uuid.uuid4())}})
        stored = _merged(before, manifest) if isinstance(action, Apply) else {**before, **manifest}
        objects[key] = _defaulted(stored)
    return Observed(objects, observed.pods, observed.references, observed.expandable)


def _merged(before: Any, applied: Any) -> Any:
    if not isinstance(before, dict) or not isinstance(applied, dict):
        return applied
    return {**before, **{key: _merged(before.get(key), value) for key, value in applied.items()}}


def _defaulted(obj: Manifest) -> Manifest:
    """Some of what the apiserver fills in: enough that equality would never hold."""
    obj["metadata"] |= {"creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "7", "generation": 1}
    obj["metadata"].setdefault("uid", str(uuid.uuid4()))
    if obj["kind"] == "Service":
        obj["spec"] |= {"clusterIP": "10.0.0.1", "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"]}
        obj["spec"].setdefault("sessionAffinity", "None")
    if obj["kind"] in ("StatefulSet", "Deployment"):
        pod = obj["spec"]["template"]["spec"]
        pod |= {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler"}
        for container in pod["containers"]:
            container["terminationMessagePath"] = "/dev/termination-log"
            container["env"] = [*container["env"], {"name": "INJECTED", "value": "by a webhook"}]
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                container[probe] |= {"successThreshold": 1}
            limits = container["resources"].get("limits", {})
            if limits.get("memory") == "1024Mi":
                limits["memory"] = "1Gi"  # the apiserver answers quantities in their canonical form
        obj["status"] = {}
    return obj


def memory_key(name: str = "k", annotations: dict[str, str] | None = None, **spec: Any) -> Manifest:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KEY_KIND,
        "metadata": {
            "name": name,
            "namespace": "n",
            "uid": f"uid-of-{name}",
            "generation": 1,
            "annotations": annotations or {},
        },
        "spec": {"systemRef": {"name": "m"}, "projects": ["p"], **spec},
    }
