"""Volume claims: the template of a new one, and what an existing one shall become. Pure."""

from __future__ import annotations

from memsys_operator import names, quantity
from memsys_operator.errors import Broken
from memsys_operator.observed import Manifest, Observed
from memsys_operator.resources import pods
from memsys_operator.spec import Storage, System


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


def parts(system: System) -> dict[str, Storage]:
    """The parts with a volume, and the storage asked for each."""
    wanted = {names.POSTGRES: system.spec.postgres.storage}
    if system.runs_neo4j:
        wanted[names.NEO4J] = system.spec.graph.storage
    return wanted


def growth(system: System, observed: Observed) -> dict[str, tuple[str, str, str]]:
    """Claims that are smaller than asked: claim name -> (size now, size asked, StorageClass or "")."""
    due: dict[str, tuple[str, str, str]] = {}
    for part, storage in parts(system).items():
        name = names.data_claim(system.name, part)
        claim = observed.get("PersistentVolumeClaim", name)
        if claim is None:
            continue
        now = claim["spec"]["resources"]["requests"]["storage"]
        if quantity.parse(storage.size) > quantity.parse(now):
            due[name] = (now, storage.size, claim["spec"].get("storageClassName") or "")
    return due


def claims(system: System, observed: Observed) -> list[Manifest]:
    """Existing claims as they shall be: owned or not by the deletion policy, grown where that is possible.

    A claim is made by its StatefulSet, so none is asked for that does not exist yet; none ever shrinks.
    """
    due = growth(system, observed)
    wanted: list[Manifest] = []
    for part in (names.POSTGRES, names.NEO4J):
        name = names.data_claim(system.name, part)
        claim = observed.get("PersistentVolumeClaim", name)
        if claim is None:
            continue
        size = claim["spec"]["resources"]["requests"]["storage"]
        if name in due:
            _, asked, storage_class = due[name]
            bound = claim.get("status", {}).get("phase") == "Bound"
            size = asked if bound and storage_class in observed.expandable else size
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


def obstacles(system: System, observed: Observed) -> list[Broken]:
    """One problem for every claim that shall grow and cannot."""
    field = {
        names.data_claim(system.name, names.POSTGRES): "spec.postgres.storage.size",
        names.data_claim(system.name, names.NEO4J): "spec.graph.storage.size",
    }
    return [
        Broken(
            "StorageNotExpandable",
            f"{field[name]}: {asked} is asked, PersistentVolumeClaim {name} has {now}, and StorageClass "
            f"{storage_class or '(none)'} does not let volumes grow; set allowVolumeExpansion on the StorageClass if "
            f"its provisioner can, or set the size back to {now}",
        )
        for name, (now, asked, storage_class) in growth(system, observed).items()
        if storage_class not in observed.expandable
    ]
