from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memsys_operator import names
from memsys_operator.credentials import POSTGRES_KEYS
from memsys_operator.observed import Manifest, Observed, key_of
from memsys_operator.plan import PRUNED_KINDS, Apply, Create, Delete, differences, plan
from memsys_operator.resources import expose

from .support import UID, carry_out, claim, desired, find, secret, seen, system, workload

GENERATED = ("m-postgres", "m-neo4j", "m-admin-key")

SPECS = st.fixed_dictionaries(
    {},
    optional={
        "deletionPolicy": st.sampled_from(["Retain", "Delete"]),
        "graph": st.fixed_dictionaries({}, optional={"provider": st.sampled_from(["neo4j", "none"])}),
        "api": st.fixed_dictionaries({}, optional={"replicas": st.integers(1, 4), "port": st.integers(1024, 65535)}),
        "mcp": st.sampled_from([{}, {"replicas": 2}, {"isolation": "manual", "project": "p"}, {"isolation": "global"}]),
        "postgres": st.fixed_dictionaries(
            {},
            optional={
                "parameters": st.dictionaries(st.sampled_from(["work_mem", "jit"]), st.just("1")),
                "resources": st.sampled_from([{}, {"limits": {"memory": "1024Mi"}}, {"requests": {"cpu": 1}}]),
            },
        ),
    },
)


def settled(spec: dict[str, Any], observed: Observed | None = None) -> Observed:
    """The cluster after the first pass over a system of that spec, with the volumes that controllers made."""
    before = observed or Observed()
    after = carry_out(plan(desired(system(spec), before), before, generated=GENERATED), before)
    claims = {key_of(c): c for c in (claim("data-m-postgres-0"), claim("data-m-neo4j-0"))}
    return Observed({**claims, **after.objects})


def next_plan(spec: dict[str, Any], observed: Observed) -> list[Any]:
    return plan(desired(system(spec), observed), observed, generated=GENERATED)


@settings(deadline=None, max_examples=40)
@given(SPECS)
def test_what_was_applied_needs_nothing_more(spec: dict[str, Any]) -> None:
    observed = settled(spec)
    observed = carry_out(next_plan(spec, observed), observed)  # the claims have appeared meanwhile
    assert next_plan(spec, observed) == []


@settings(deadline=None, max_examples=40)
@given(SPECS, SPECS)
def test_a_changed_spec_is_reached_in_one_pass(before: dict[str, Any], after: dict[str, Any]) -> None:
    observed = settled(before)
    observed = carry_out(next_plan(after, observed), observed)
    observed = carry_out(next_plan(after, observed), observed)  # claims follow their StatefulSets
    assert next_plan(after, observed) == []
    left = {key for key in observed.objects if key[0] not in ("PersistentVolumeClaim", "Secret")}
    asked = {key_of(m) for m in desired(system(after), observed)}
    assert left <= asked


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_any_lost_or_changed_object_is_put_back_and_no_other_touched(data: st.DataObject) -> None:
    observed = settled({})
    observed = carry_out(next_plan({}, observed), observed)
    key = data.draw(st.sampled_from(sorted(k for k in observed.objects if k[0] != "PersistentVolumeClaim")))
    if key[0] == "Secret" and key[1] in ("m-postgres", "m-neo4j", "m-admin-key"):
        return  # passwords are the matter of credentials.settle
    objects = dict(observed.objects)
    if data.draw(st.booleans()):
        del objects[key]
    else:
        objects[key] = copy.deepcopy(objects[key])
        objects[key]["metadata"]["labels"]["app.kubernetes.io/part-of"] = "something else"
    (action,) = next_plan({}, Observed(objects))
    assert isinstance(action, Apply)
    assert key_of(action.manifest) == key


def test_secrets_are_created_before_they_are_applied_and_before_all_else() -> None:
    actions = plan(desired(system()), Observed(), generated=GENERATED)
    created = [a.manifest["metadata"]["name"] for a in actions if isinstance(a, Create)]
    assert sorted(created) == sorted(GENERATED)
    first_other = next(i for i, a in enumerate(actions) if not isinstance(a, Delete) and a.manifest["kind"] != "Secret")
    assert all(a.manifest["kind"] == "Secret" for a in actions[:first_other])  # type: ignore[union-attr]
    bare = next(a for a in actions if isinstance(a, Create))
    assert set(bare.manifest["metadata"]) == {"name", "namespace"}


def test_only_what_was_there_or_has_just_been_created_may_be_applied_over() -> None:
    found = secret("m-neo4j", {"password": "long-and-kept-too"})
    observed = seen(found)
    actions = plan(desired(system(), observed), observed, generated=GENERATED)
    over = {a.manifest["metadata"]["name"] for a in actions if isinstance(a, Apply) and not a.new}
    assert over == {"m-neo4j", "m-postgres", "m-admin-key"}


def test_what_is_held_is_left_as_it_is() -> None:
    held = {("Deployment", "m-api")}
    actions = plan(desired(system()), Observed(), held=held)
    assert ("Deployment", "m-api") not in [key_of(a.manifest) for a in actions if isinstance(a, Apply)]
    running = workload("Deployment", "m-api")
    running["metadata"]["labels"] = names.labels("m", "api")
    assert not [a for a in plan(desired(system()), seen(running), held=held) if isinstance(a, Delete)]


def test_what_is_no_longer_desired_is_deleted_but_never_data_nor_credentials_nor_strangers() -> None:
    observed = settled({"api": {"replicas": 2}})
    stranger = workload("Deployment", "m-dashboard")
    stranger["metadata"]["labels"] = {names.SYSTEM_LABEL: "m"}
    observed = Observed({**observed.objects, key_of(stranger): stranger})
    deleted = {a.key for a in next_plan({"graph": {"provider": "none"}}, observed) if isinstance(a, Delete)}
    assert deleted == {
        ("StatefulSet", "m-neo4j"), ("Service", "m-neo4j"), ("ServiceAccount", "m-neo4j"),
        ("NetworkPolicy", "m-neo4j"), ("PodDisruptionBudget", "m-api"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "owners",
    [
        [],
        [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "m", "uid": "of-a-deployment"}],
        [{"apiVersion": names.API_VERSION, "kind": names.KIND, "name": "another", "uid": "of-another-system"}],
    ],
)
@pytest.mark.parametrize("kind", sorted(PRUNED_KINDS))
def test_what_merely_has_the_labels_is_left_alone(kind: str, owners: list[Manifest]) -> None:
    """``kubectl expose deployment m-mcp`` makes a Service with the labels of the Deployment."""
    observed = settled({})
    observed = carry_out(next_plan({}, observed), observed)
    labels = dict(observed.objects["Deployment", "m-mcp"]["metadata"]["labels"])
    meta = {"name": "m-mcp-lb", "namespace": "n", "uid": "u", "labels": labels, "ownerReferences": owners}
    theirs = {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": {}}
    assert next_plan({}, Observed({**observed.objects, key_of(theirs): theirs})) == []


def test_whatever_may_be_deleted_later_is_owned_by_its_system() -> None:
    exposed = {"mcp": {"host": "m.example"}, "api": {"host": "a.example"}}
    route = {**exposed, "gateway": {"name": "g"}}
    made = [
        *desired(system({"expose": {**exposed, "className": "c"}, "api": {"replicas": 2}})),
        *expose.manifests(system({"expose": route}), Observed(http_routes=True)),
    ]
    pruned = [m for m in made if m["kind"] in PRUNED_KINDS]
    assert {m["kind"] for m in pruned} == PRUNED_KINDS
    for manifest in pruned:
        (owner,) = manifest["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == (names.KIND, "m", UID), key_of(manifest)


def test_what_an_earlier_system_of_the_name_left_is_deleted_when_it_is_not_desired() -> None:
    observed = settled({})
    objects = {key: copy.deepcopy(obj) for key, obj in observed.objects.items()}
    for obj in objects.values():
        for owner in obj["metadata"].get("ownerReferences", ()):
            owner["uid"] = "of-the-system-before"
    actions = next_plan({"graph": {"provider": "none"}}, Observed(objects))
    assert ("Service", "m-neo4j") in [a.key for a in actions if isinstance(a, Delete)]


def test_what_is_spared_stays_although_it_is_not_desired() -> None:
    observed = settled({})
    spared = {("StatefulSet", "m-neo4j")}
    actions = plan(desired(system({"graph": {"provider": "none"}}), observed), observed, spared=spared)
    assert ("StatefulSet", "m-neo4j") not in [a.key for a in actions if isinstance(a, Delete)]


def test_an_object_that_is_being_deleted_is_waited_for() -> None:
    observed = settled({})
    going = copy.deepcopy(observed.objects["Service", "m-api"])
    going["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "labels": {}}
    actions = next_plan({}, Observed({**observed.objects, ("Service", "m-api"): going}))
    assert ("Service", "m-api") not in [key_of(a.manifest) for a in actions if isinstance(a, Apply)]


def test_a_dropped_field_is_noticed_although_the_rest_is_there() -> None:
    observed = settled({"mcp": {"isolation": "manual", "project": "p"}})
    observed = carry_out(next_plan({"mcp": {"isolation": "manual", "project": "p"}}, observed), observed)
    changed = [key_of(a.manifest) for a in next_plan({"mcp": {"isolation": "auto"}}, observed) if isinstance(a, Apply)]
    assert changed == [("Deployment", "m-mcp")]


def test_claim_templates_of_an_existing_statefulset_are_never_changed() -> None:
    observed = settled({"postgres": {"storage": {"size": "10Gi"}}})
    observed = carry_out(next_plan({}, observed), observed)
    assert next_plan({"postgres": {"storage": {"size": "20Gi"}}}, observed) == []


@pytest.mark.parametrize(
    "opened",
    [
        {"ingress": [{"from": [{"podSelector": {}, "namespaceSelector": {}}]}]},
        {"egress": [{}]},
        {"ingress": []},
    ],
)
def test_a_network_policy_must_be_equal(opened: dict[str, Any]) -> None:
    observed = settled({})
    observed = carry_out(next_plan({}, observed), observed)
    policy = copy.deepcopy(observed.objects["NetworkPolicy", "m-postgres"])
    policy["spec"] |= opened
    (action,) = next_plan({}, Observed({**observed.objects, key_of(policy): policy}))
    assert isinstance(action, Apply)
    assert key_of(action.manifest) == key_of(policy)


@pytest.mark.parametrize(
    ("wanted", "found", "paths"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": 1}, {"a": 2}, ["a"]),
        ({"a": {"b": 1}}, {"a": None}, ["a"]),
        ({"a": {}}, {}, []),
        ({"args": ["x"]}, {"args": ["x", "y"]}, ["args"]),
        ({"args": []}, {}, []),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "B"}, {"name": "A", "value": "1"}]}, []),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "value": "2"}]}, ["env[A].value"]),
        ({"env": [{"name": "A"}]}, {"env": []}, ["env[A]"]),
        ({"requests": {"memory": "1024Mi"}}, {"requests": {"memory": "1Gi"}}, []),
        ({"requests": {"memory": "1Gi"}}, {"requests": {"memory": "2Gi"}}, ["requests.memory"]),
        ({"emptyDir": {"sizeLimit": "256Mi"}}, {"emptyDir": {"sizeLimit": "268435456"}}, []),
        ({"selector": {"a": "1"}}, {"selector": {"a": "1", "b": "2"}}, ["selector"]),
        ({"emptyDir": {}}, {"emptyDir": {}}, []),
        ({"emptyDir": {}}, {"hostPath": {"path": "/"}}, ["emptyDir"]),
        ({"nodeSelector": {}}, {}, []),
        ({"nodeSelector": {}}, {"nodeSelector": {"disk": "ssd"}}, ["nodeSelector"]),
        ({"hostNetwork": False}, {}, []),
        ({"hostNetwork": False}, {"hostNetwork": True}, ["hostNetwork"]),
        ({"privileged": False}, {}, ["privileged"]),
        (
            {"ports": [{"port": 80, "protocol": "TCP"}]},
            {"ports": [{"port": 80, "protocol": "TCP", "nodePort": 30000}]},
            [],
        ),
    ],
)
def test_differences_are_what_the_desired_says_and_the_observed_does_not(
    wanted: Manifest, found: Manifest, paths: list[str]
) -> None:
    assert list(differences(wanted, found)) == paths


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(JSON)
def test_nothing_differs_from_itself(value: Any) -> None:
    assert list(differences(value, copy.deepcopy(value))) == []


POD = ("template", "spec")
CONTAINER = (*POD, "containers", 0)


@pytest.mark.parametrize(
    ("kind", "place", "added"),
    [
        ("Service", ("selector",), {"extra": "label"}),
        ("Service", (), {"externalIPs": ["192.0.2.1"]}),
        ("Deployment", (), {"paused": True}),
        ("Deployment", POD, {"hostNetwork": True}),
        ("Deployment", POD, {"hostPID": True}),
        ("Deployment", (*POD, "nodeSelector"), {"no": "such-node"}),
        ("Deployment", CONTAINER, {"command": ["sleep", "9"]}),
        ("Deployment", CONTAINER, {"args": ["--other"]}),
        ("Deployment", (*CONTAINER, "securityContext", "capabilities"), {"add": ["NET_RAW"]}),
    ],
)
def test_what_others_add_is_taken_back_where_it_changes_what_runs_or_who_is_reached(
    kind: str, place: tuple[str | int, ...], added: dict[str, Any]
) -> None:
    observed = settled({})
    observed = carry_out(next_plan({}, observed), observed)
    changed = copy.deepcopy(observed.objects[kind, "m-api"])
    target = changed["spec"]
    for step in place:
        target = target[step]
    target |= added
    (action,) = next_plan({}, Observed({**observed.objects, key_of(changed): changed}))
    assert isinstance(action, Apply)
    assert key_of(action.manifest) == key_of(changed)
    stated = action.manifest["spec"]
    for step in place:
        stated = stated[step]
    assert stated.keys() >= added.keys() or place[-1] in ("selector", "nodeSelector"), "an apply takes it back"


def test_what_others_may_add_is_left() -> None:
    observed = settled({})
    observed = carry_out(next_plan({}, observed), observed)
    changed = copy.deepcopy(observed.objects["Deployment", "m-api"])
    changed["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "3"
    pod = changed["spec"]["template"]
    pod["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = "2026-01-01T00:00:00Z"
    pod["spec"]["containers"].append({"name": "sidecar", "image": "mesh"})
    pod["spec"]["initContainers"] = [{"name": "setup", "image": "mesh"}]
    pod["spec"]["tolerations"] = [{"key": "dedicated", "operator": "Exists"}]
    assert next_plan({}, Observed({**observed.objects, key_of(changed): changed})) == []


def test_a_secret_that_lost_its_labels_gets_them_back() -> None:
    bare = secret("m-postgres", dict.fromkeys(POSTGRES_KEYS, "long-and-kept"))
    observed = seen(bare)
    actions = plan(desired(system(), observed), observed, generated=GENERATED)
    applied = find([a.manifest for a in actions if isinstance(a, Apply)], "Secret", "m-postgres")
    assert applied["metadata"]["labels"][names.SYSTEM_LABEL] == "m"
    assert applied["data"] == bare["data"]
    assert "m-postgres" not in [a.manifest["metadata"]["name"] for a in actions if isinstance(a, Create)]
