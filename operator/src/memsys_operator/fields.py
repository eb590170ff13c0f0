"""Whose the fields of an object are, as the apiserver keeps account of it in ``managedFields``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memsys_operator import names
from memsys_operator.observed import Manifest

_SPEC = "f:spec"


def anew(manifest: Manifest) -> Manifest:
    """The manifest of another object that asks for the same: what refuses it, refuses what is asked for."""
    meta = {field: value for field, value in manifest["metadata"].items() if field != "name"}
    return {**manifest, "metadata": {**meta, "generateName": f"{manifest['metadata']['name']}-"}}


def taken_over(obj: Mapping[str, Any]) -> Manifest | None:
    """A patch of the metadata that makes ours what others put into the spec, so that the next apply takes back what it
    does not state; None when nothing there is others'.

    The version goes along as a precondition, since the account is of this state of the object. What came through a
    subresource stays with whoever wrote it: a scale writes a number that every apply states, too.
    """
    own: Manifest = {
        "manager": names.FIELD_MANAGER, "operation": "Apply", "apiVersion": obj["apiVersion"],
        "fieldsType": "FieldsV1", "fieldsV1": {},
    }  # fmt: skip
    others: list[Manifest] = []
    taken: Manifest = {}
    for entry in obj["metadata"].get("managedFields") or ():
        held = entry["fieldsV1"]
        if entry.get("subresource") or entry["apiVersion"] != obj["apiVersion"]:
            others.append(entry)
        elif (entry["manager"], entry["operation"]) == (names.FIELD_MANAGER, "Apply"):
            own = entry
        else:
            taken = _union(taken, held.get(_SPEC, {}))
            others.append({**entry, "fieldsV1": {name: below for name, below in held.items() if name != _SPEC}})
    if not taken:
        return None
    account = [{**own, "fieldsV1": _union(own["fieldsV1"], {_SPEC: taken})}]
    account += [entry for entry in others if entry["fieldsV1"]]
    return {"resourceVersion": obj["metadata"]["resourceVersion"], "managedFields": account}


def _union(left: Mapping[str, Any], right: Mapping[str, Any]) -> Manifest:
    """Two sets of fields, each a tree of names, as one."""
    return {**left, **{name: _union(left.get(name, {}), below) for name, below in right.items()}}
