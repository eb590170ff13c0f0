"""(desired, observed) -> actions: only what differs is applied. Pure.

A server-side apply that changes nothing is still a write, so ``desired ⊆ observed`` is decided here: what the
server adds by defaulting is ignored, and a hash of the manifest last applied tells the fields that a newer
manifest no longer has, which a subset test cannot see.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memsys_operator import names, quantity
from memsys_operator.observed import Key, Manifest, Observed, key_of

#: Lists that server-side apply merges by key: entries of others may stand beside ours.
MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "ports": ("containerPort", "port", "protocol"),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
#: Maps of which every entry counts: one label more and a Service finds no pod, a pod no node.
WHOLE_MAPS = frozenset({"labelSelector", "nodeSelector", "selector"})
#: What the server leaves out of its answer when it is false.
OMITTED_WHEN_FALSE = frozenset({"hostIPC", "hostNetwork", "hostPID", "paused"})
#: What is there or not, whatever is in it: a volume without one is of another kind.
PRESENT_WHEN_EMPTY = frozenset({"emptyDir"})
#: Parents of values, and values, that the server may answer in another notation of the same quantity.
QUANTITY_PARENTS = frozenset({"requests", "limits"})
QUANTITY_FIELDS = frozenset({"sizeLimit"})
#: Kinds that pods must not be without: nothing follows one that could not be written.
FIRST = ("Secret", "NetworkPolicy")
#: What is deleted when it is no longer desired and its system owns it; all that is made of these kinds is made owned.
#: Secrets that open a volume and claims are never among them.
PRUNED_KINDS = frozenset(
    {
        "Deployment",
        "HTTPRoute",
        "Ingress",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
        "StatefulSet",
    }
)


@dataclass(frozen=True, slots=True)
class Create:
    """Create the object, failing when one of that name exists: new passwords never replace old ones."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply. ``because`` holds the paths that differ; ``new`` says that nothing was there, so that what is
    found there by then belongs to somebody else."""

    manifest: Manifest
    because: tuple[str, ...]
    new: bool


@dataclass(frozen=True, slots=True)
class Delete:
    key: Key
    uid: str


@dataclass(frozen=True, slots=True)
class Release:
    """Take owners, by their uids, from an object and leave all else of it alone."""

    key: Key
    uid: str
    owners: tuple[str, ...]


Action = Create | Apply | Delete | Release


def target(action: Action) -> Key:
    """The object that an action is about."""
    return key_of(action.manifest) if isinstance(action, Apply | Create) else action.key


def plan(
    desired: Sequence[Manifest],
    observed: Observed,
    *,
    generated: Collection[str] = (),
    held: Collection[Key] = (),
    spared: Collection[Key] = (),
) -> list[Action]:
    """The actions that make ``observed`` hold ``desired``, in the order of ``desired``, deletions last.

    ``generated`` names Secrets whose values cannot be made twice; ``held`` are objects to leave as they are
    for now, ``spared`` ones that are not desired but must not be deleted.
    """
    actions: list[Action] = []
    for wanted in desired:
        key = key_of(wanted)
        if key in held:
            continue
        existing = observed.objects.get(key)
        created = existing is None and wanted["kind"] == "Secret" and wanted["metadata"]["name"] in generated
        if created:
            actions.append(Create(_bare(wanted)))
        if existing is not None and existing["metadata"].get("deletionTimestamp"):
            continue  # its deletion is under way and will be heard of; then it is made again
        manifest = stamped(carried(wanted, existing))
        because = tuple(drift(manifest, existing)) if existing is not None else ("missing",)
        if because:
            actions.append(Apply(manifest, because, new=existing is None and not created))
    kept = {key_of(wanted) for wanted in desired} | set(spared)
    actions += [
        Delete(key, obj["metadata"]["uid"])
        for key, obj in observed.objects.items()
        if key[0] in PRUNED_KINDS
        and key not in kept
        and not obj["metadata"].get("deletionTimestamp")
        and _made_here(obj["metadata"])
    ]
    return actions


def _made_here(meta: Mapping[str, Any]) -> bool:
    """Whether the operator made an object for the system whose labels it has.

    The labels alone do not say so: ``kubectl expose`` gives a new Service those of the Deployment.
    """
    labels = meta.get("labels") or {}
    managed = labels.get(names.MANAGED_BY_LABEL) == names.FIELD_MANAGER
    return managed and bool(_owners(meta, labels.get(names.SYSTEM_LABEL)))


def _owners(meta: Mapping[str, Any], system: str | None) -> list[str]:
    """The uids under which a MemorySystem of that name owns an object; of an earlier system of the name, too."""
    return [o["uid"] for o in meta.get("ownerReferences") or () if (o["kind"], o["name"]) == (names.KIND, system)]


def releases(obj: Manifest, observed: Observed) -> list[Release]:
    """What frees the volumes and Secrets of a MemorySystem from it, where its deletion policy is Retain.

    Read from the object as it stands, not from a parsed spec: data that an owner would take along must be safe also
    while nothing else of the spec can be carried out.
    """
    name, spec = obj["metadata"]["name"], obj.get("spec") or {}
    if spec.get("deletionPolicy", "Retain") != "Retain":
        return []
    kept = [("Secret", secret) for secret in names.kept_secrets(name)]
    kept += [("PersistentVolumeClaim", claim) for claim in names.kept_claims(name)]
    found: list[Release] = []
    for key in kept:
        meta = observed.objects.get(key, {"metadata": {}})["metadata"]
        # The dead among them included: the garbage collector deletes what only they own.
        if owners := _owners(meta, name):
            found.append(Release(key, meta["uid"], tuple(owners)))
    return found


def _bare(secret: Manifest) -> Manifest:
    """Name and data alone: what is created is never taken back, all else belongs to server-side apply."""
    meta = secret["metadata"]
    return {
        **{field: secret[field] for field in ("apiVersion", "kind", "type", "data")},
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
    }


def carried(wanted: Manifest, existing: Manifest | None) -> Manifest:
    """``wanted`` with what an existing StatefulSet cannot change: its claim templates (the claims grow instead)."""
    if wanted["kind"] != "StatefulSet" or existing is None:
        return wanted
    templates = existing["spec"].get("volumeClaimTemplates", [])
    return {**wanted, "spec": {**wanted["spec"], "volumeClaimTemplates": templates}}


def stamped(manifest: Manifest) -> Manifest:
    """A copy that carries the hash of its own content, claim templates aside."""
    content = manifest
    if manifest["kind"] == "StatefulSet":
        spec = {k: v for k, v in manifest["spec"].items() if k != "volumeClaimTemplates"}
        content = {**manifest, "spec": spec}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    result = copy.deepcopy(manifest)
    result["metadata"].setdefault("annotations", {})[names.APPLIED_ANNOTATION] = digest
    return result


def drift(desired: Manifest, observed: Manifest) -> Iterator[str]:
    """Paths at which an existing object has to be changed. A NetworkPolicy must be equal, not just contain what is
    desired: anything added to it opens a door."""
    yield from differences(desired, observed)
    if desired["kind"] == "NetworkPolicy":
        said = {field: value for field, value in observed.get("spec", {}).items() if value}
        if said != {field: value for field, value in desired["spec"].items() if value}:
            yield "spec"


def differences(desired: Any, observed: Any, path: str = "") -> Iterator[str]:
    """Paths at which ``observed`` does not hold what ``desired`` says; fields it has beyond that are fine, entries of
    :data:`WHOLE_MAPS` aside."""
    name = path.rsplit(".", 1)[-1].split("[", 1)[0]
    if name in WHOLE_MAPS:
        if desired != (observed or {}):
            yield path
        return
    if isinstance(desired, Mapping):
        if not desired and not observed and (name not in PRESENT_WHEN_EMPTY or observed is not None):
            return
        if not isinstance(observed, Mapping):
            yield path
            return
        for field, value in desired.items():
            below = f"{path}.{field}" if path else str(field)
            if name in QUANTITY_PARENTS or field in QUANTITY_FIELDS:
                if not quantity.equal(value, observed.get(field)):
                    yield below
            else:
                yield from differences(value, observed.get(field), below)
    elif isinstance(desired, Sequence) and not isinstance(desired, str):
        yield from _list_differences(desired, observed or [], path, MERGE_KEYS.get(name))
    elif desired != observed and not (name in OMITTED_WHEN_FALSE and not desired and observed is None):
        yield path


def _list_differences(
    desired: Sequence[Any], observed: Sequence[Any], path: str, keys: tuple[str, ...] | None
) -> Iterator[str]:
    if keys is None or not all(isinstance(item, Mapping) for item in desired):
        if len(desired) != len(observed):
            yield path
            return
        for index, (left, right) in enumerate(zip(desired, observed, strict=True)):
            yield from differences(left, right, f"{path}[{index}]")
        return

    def identity(item: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(item.get(key) for key in keys)

    present = {identity(item): item for item in observed}
    for item in desired:
        label = "/".join(str(part) for part in identity(item) if part is not None)
        if identity(item) not in present:
            yield f"{path}[{label}]"
        else:
            yield from differences(item, present[identity(item)], f"{path}[{label}]")
