"""Whose the fields of an object are, and what makes them the operator's."""

from __future__ import annotations

from typing import Any

from memsys_operator.fields import anew, taken_over

OURS = {"f:metadata": {"f:labels": {}}, "f:spec": {"f:ports": {'k:{"port":80}': {".": {}, "f:name": {}}}}}
MOVED = {'k:{"port":90}': {".": {}, "f:port": {}}}


def entry(manager: str, fields: dict[str, Any], **more: str) -> dict[str, Any]:
    entry = {"manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"}
    return {**entry, "fieldsV1": fields, **more}


def service(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "metadata": {"name": "m", "resourceVersion": "7", "managedFields": list(entries)}}


def test_the_spec_becomes_ours_and_all_else_stays_whose_it_is() -> None:
    own = entry("memsys-operator", OURS, operation="Apply")
    edit = entry("kubectl-edit", {"f:metadata": {"f:annotations": {}}, "f:spec": {"f:ports": MOVED}})
    note = entry("controller", {"f:metadata": {"f:annotations": {}}})
    scale = entry("kubectl", {"f:spec": {"f:replicas": {}}}, subresource="scale")
    other = entry("older", {"f:spec": {"f:x": {}}}, apiVersion="v1beta1")
    patch = entry("kubectl-patch", {"f:spec": {"f:externalIPs": {}}})
    assert taken_over(service(note, edit, own, scale, other, patch)) == {
        "resourceVersion": "7",
        "managedFields": [
            own | {"fieldsV1": {**OURS, "f:spec": {"f:ports": OURS["f:spec"]["f:ports"] | MOVED, "f:externalIPs": {}}}},
            note,
            edit | {"fieldsV1": {"f:metadata": {"f:annotations": {}}}},
            scale,
            other,
        ],
    }


def test_an_object_that_we_never_applied_becomes_ours_too() -> None:
    account = taken_over(service(entry("velero", {"f:spec": {"f:ports": MOVED}})))
    assert account is not None
    assert account["managedFields"] == [entry("memsys-operator", {"f:spec": {"f:ports": MOVED}}, operation="Apply")]


def test_nothing_is_taken_where_nobody_else_wrote() -> None:
    assert taken_over(service(entry("memsys-operator", OURS, operation="Apply"))) is None
    assert taken_over(service(entry("controller", {"f:metadata": {}}))) is None
    assert taken_over({"apiVersion": "v1", "metadata": {"resourceVersion": "7"}}) is None


def test_what_is_made_anew_asks_for_the_same_under_a_name_that_nothing_has() -> None:
    manifest = {"kind": "Service", "metadata": {"name": "m", "labels": {"a": "b"}}, "spec": {"x": 1}}
    assert anew(manifest) == {**manifest, "metadata": {"generateName": "m-", "labels": {"a": "b"}}}
    assert manifest["metadata"] == {"name": "m", "labels": {"a": "b"}}
