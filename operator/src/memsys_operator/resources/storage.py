"""Volume claims: the template of a new one, what an existing one shall become, and what keeps it from that. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from memsys_operator import names, quantity
from memsys_operator.errors import Broken, OperatorError, Waiting
from memsys_operator.observed import Manifest, Observed
from memsys_operator.resources import pods
from memsys_operator.spec import Storage, System

#: How a claim says that its volume cannot become as large as it asks. Kubernetes tries on nevertheless.
_ERRORS = ("ControllerResizeError", "NodeResizeError")
_INFEASIBLE = ("ControllerResizeInfeasible", "NodeResizeInfeasible")
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class _Volume:
    """An existing claim: ``asked`` in ``field`` of the spec, ``requested`` by the claim, given as ``capacity``."""

    field: str
    name: str
    asked: str
    requested: str
    capacity: str
    storage_class: str
    claim: Manifest

    @property
    def short(self) -> bool:
        """Whether the claim asks for less than the spec."""
        return quantity.parse(self.asked) > quantity.parse(self.requested)

    @property
    def pending(self) -> bool:
        """Whether the volume is smaller than the claim asks."""
        return quantity.parse(self.capacity) < quantity.parse(self.requested)

    @property
    def met(self) -> bool:
        """Whether the volume is as large as the spec asks, or larger."""
        return quantity.parse(self.capacity) >= quantity.parse(self.asked)

    def request(self, expandable: frozenset[str]) -> str:
        """What the claim shall ask for.

        It asks for less only to take back what the volume never became, which Kubernetes admits for any size above
        the capacity.
        """
        bound = self.claim.get("status", {}).get("phase") == "Bound"
        grows = self.short and bound and self.storage_class in expandable
        falls = self.pending and not self.short and not self.met
        return self.asked if grows or falls else self.requested

    @property
    def refusal(self) -> str | None:
        """What the storage says against the size that the claim asks for; None while it says nothing."""
        status: Mapping[str, Any] = self.claim.get("status", {})
        for condition in status.get("conditions") or ():
            if condition["type"] in _ERRORS and condition["status"] == "True":
                return str(condition.get("message") or condition["type"])[:_LONGEST]
        result = (status.get("allocatedResourceStatuses") or {}).get("storage")
        return result if result in _INFEASIBLE else None


def claim_template(system: System, part: str, storage: Storage) -> Manifest:
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": storage.size}},
    }
    if storage.storage_class_name is not None:
        spec["storageClassName"] = storage.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "labels": names.labels(system.name, part)},
        "spec": spec,
    }


def _volumes(system: System, observed: Observed) -> Iterator[_Volume]:
    wanted = [(names.POSTGRES, "spec.postgres.storage.size", system.spec.postgres.storage)]
    if system.runs_neo4j:
        wanted.append((names.NEO4J, "spec.graph.storage.size", system.spec.graph.storage))
    for part, field, storage in wanted:
        name = names.data_claim(system.name, part)
        claim = observed.get("PersistentVolumeClaim", name)
        if claim is not None:
            requested = claim["spec"]["resources"]["requests"]["storage"]
            capacity = (claim.get("status", {}).get("capacity") or {}).get("storage", requested)
            storage_class = claim["spec"].get("storageClassName") or ""
            yield _Volume(field, name, storage.size, requested, capacity, storage_class, claim)


def growing(system: System, observed: Observed) -> set[str]:
    """The StorageClasses of claims that ask for less than the spec; "" for a claim without one."""
    return {volume.storage_class for volume in _volumes(system, observed) if volume.short}


def claims(system: System, observed: Observed) -> list[Manifest]:
    """Existing claims as they shall be: owned or not by the deletion policy, grown where that is possible.

    A claim is made by its StatefulSet, so none is asked for that does not exist yet; no volume ever shrinks.
    """
    sizes = {volume.name: volume.request(observed.expandable) for volume in _volumes(system, observed)}
    wanted: list[Manifest] = []
    for part in (names.POSTGRES, names.NEO4J):
        name = names.data_claim(system.name, part)
        claim = observed.get("PersistentVolumeClaim", name)
        if claim is None:
            continue
        size = sizes.get(name, claim["spec"]["resources"]["requests"]["storage"])
        wanted.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": pods.metadata(system, name, part, owned=not system.retains),
                "spec": {"resources": {"requests": {"storage": size}}},
            }
        )
    return wanted


def kept_graph(system: System, observed: Observed) -> str | None:
    """The claim of a Neo4j that was switched off: it is kept, and with it what the graph knew."""
    name = names.data_claim(system.name, names.NEO4J)
    if system.runs_neo4j or observed.get("PersistentVolumeClaim", name) is None:
        return None
    return name


def obstacles(system: System, observed: Observed) -> list[OperatorError]:
    """One problem for every volume that is smaller than the spec asks."""
    found = (_obstacle(volume, observed.expandable) for volume in _volumes(system, observed) if not volume.met)
    return [problem for problem in found if problem is not None]


def _obstacle(volume: _Volume, expandable: frozenset[str]) -> OperatorError | None:
    claim = f"PersistentVolumeClaim {volume.name}"
    asked = f"{volume.field}: {volume.asked} is asked"
    if volume.short and volume.storage_class not in expandable:
        storage_class = f"StorageClass {volume.storage_class or '(none)'}"
        return Broken(
            "StorageNotExpandable",
            f"{asked}, {claim} has {volume.requested}, and {storage_class} does not let volumes grow; set "
            "allowVolumeExpansion on the StorageClass if its provisioner can, or set the size back to "
            f"{volume.requested}",
        )
    if not volume.pending or volume.request(expandable) != volume.requested:
        return None  # what it asks for is changed in this pass
    if said := volume.refusal:
        return Broken(
            "ResizeRefused",
            f"{asked}, {claim} has {volume.capacity}, and its storage refuses more: {said}; make room there, or set a "
            f"size that it can give, or set it back to {volume.capacity}",
        )
    return Waiting(
        "ResizePending",
        f"{asked}, {claim} has {volume.capacity} until its volume has grown; if this lasts, `kubectl describe pvc "
        f"{volume.name}` says why",
    )


def notes(system: System, observed: Observed) -> list[str]:
    """What is worth telling of volumes that are larger than the spec asks, though nobody has to act."""
    found = []
    for volume in _volumes(system, observed):
        # Of a volume that was made larger than the claim asks there is nothing to tell.
        larger = min(quantity.parse(volume.requested), quantity.parse(volume.capacity))
        if larger > quantity.parse(volume.asked):
            found.append(
                f"{volume.field}: {volume.asked} is asked, PersistentVolumeClaim {volume.name} has {volume.capacity} "
                f"and cannot shrink; set the size to {volume.capacity} or more, or leave it"
            )
        if volume.met and volume.pending:
            found.append(
                f"PersistentVolumeClaim {volume.name} still asks for {volume.requested}, which Kubernetes takes back "
                f"only for a size above {volume.capacity}"
            )
    return found
