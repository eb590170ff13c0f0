from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_operator.errors import Broken, Waiting
from memsys_operator.observed import Manifest, Observed
from memsys_operator.resources import storage

from .support import claim, seen, system


def asked(size: str) -> dict[str, Any]:
    return {"postgres": {"storage": {"size": size}}}


def size_of(observed: Observed, size: str) -> str:
    (wanted,) = storage.claims(system(asked(size)), observed)
    result: str = wanted["spec"]["resources"]["requests"]["storage"]
    return result


def sized(request: str, capacity: str, **status: Any) -> Manifest:
    """A bound claim that asks for one size and has another."""
    bound = claim("data-m-postgres-0", size=request)
    bound["status"] |= {"capacity": {"storage": capacity}, **status}
    return bound


def test_no_claim_is_asked_for_before_its_statefulset_made_it() -> None:
    assert storage.claims(system(), Observed()) == []


def test_a_claim_grows_where_its_class_lets_it() -> None:
    observed = seen(claim("data-m-postgres-0"), expandable=frozenset({"standard"}))
    assert size_of(observed, "20Gi") == "20Gi"
    assert storage.obstacles(system(asked("20Gi")), observed) == []


def test_a_claim_that_cannot_grow_keeps_its_size_and_the_obstacle_names_the_field() -> None:
    observed = seen(claim("data-m-postgres-0"))
    assert size_of(observed, "20Gi") == "10Gi"
    (obstacle,) = storage.obstacles(system(asked("20Gi")), observed)
    assert obstacle.reason == "StorageNotExpandable"
    assert "spec.postgres.storage.size: 20Gi" in obstacle.message
    assert "standard" in obstacle.message


def test_an_unbound_claim_waits() -> None:
    observed = seen(claim("data-m-postgres-0", phase="Pending"), expandable=frozenset({"standard"}))
    assert size_of(observed, "20Gi") == "10Gi"


@pytest.mark.parametrize("size", ["10Gi", "10240Mi", "5Gi"])
def test_the_same_size_in_another_notation_and_a_smaller_one_change_nothing(size: str) -> None:
    observed = seen(claim("data-m-postgres-0"), expandable=frozenset({"standard"}))
    assert storage.growing(system(asked(size)), observed) == set()
    assert size_of(observed, size) == "10Gi"
    assert storage.obstacles(system(asked(size)), observed) == []


def test_a_volume_that_is_larger_than_asked_is_told_and_needs_nobody() -> None:
    observed = seen(sized("10Gi", "10Gi"))
    assert storage.obstacles(system(asked("5Gi")), observed) == []
    (note,) = storage.notes(system(asked("5Gi")), observed)
    assert "spec.postgres.storage.size: 5Gi" in note
    assert "has 10Gi and cannot shrink; set the size to 10Gi or more, or leave it" in note


def test_a_volume_that_was_made_larger_than_its_claim_is_nothing_to_tell() -> None:
    observed = seen(sized("10Gi", "100Gi"))
    assert storage.notes(system(asked("10Gi")), observed) == []
    assert storage.obstacles(system(asked("20Gi")), observed) == []


def test_a_volume_that_has_yet_to_grow_is_waited_for() -> None:
    (obstacle,) = storage.obstacles(system(asked("20Gi")), seen(sized("20Gi", "10Gi")))
    assert isinstance(obstacle, Waiting)
    assert obstacle.reason == "ResizePending"
    assert "kubectl describe pvc data-m-postgres-0" in obstacle.message


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (
            {"conditions": [{"type": "ControllerResizeError", "status": "True", "message": "quota exceeded"}]},
            "quota exceeded",
        ),
        ({"conditions": [{"type": "NodeResizeError", "status": "True", "message": "no tool"}]}, "no tool"),
        ({"allocatedResourceStatuses": {"storage": "ControllerResizeInfeasible"}}, "ControllerResizeInfeasible"),
    ],
)
def test_a_growth_that_the_storage_refuses_needs_a_person(status: dict[str, Any], word: str) -> None:
    (obstacle,) = storage.obstacles(system(asked("10Ti")), seen(sized("10Ti", "10Gi", **status)))
    assert isinstance(obstacle, Broken)
    assert obstacle.reason == "ResizeRefused"
    for said in ("spec.postgres.storage.size: 10Ti", "has 10Gi", word):
        assert said in obstacle.message


def test_a_growth_that_did_not_happen_is_taken_back_as_far_as_kubernetes_lets_it() -> None:
    observed = seen(sized("10Ti", "10Gi"))
    assert size_of(observed, "100Gi") == "100Gi"
    assert storage.obstacles(system(asked("100Gi")), observed) == [], "it is changed in this pass"
    assert size_of(observed, "10Gi") == "10Ti"
    assert storage.obstacles(system(asked("10Gi")), observed) == []
    (note,) = storage.notes(system(asked("10Gi")), observed)
    assert "still asks for 10Ti" in note


SIZES = st.integers(1, 40)


@given(spec=SIZES, request=SIZES, capacity=SIZES, expandable=st.booleans())
def test_a_claim_is_only_asked_for_what_kubernetes_admits(
    spec: int, request: int, capacity: int, expandable: bool
) -> None:
    classes = frozenset({"standard"}) if expandable else frozenset()
    observed = seen(sized(f"{request}Gi", f"{capacity}Gi"), expandable=classes)
    wanted = int(size_of(observed, f"{spec}Gi").removesuffix("Gi"))
    assert wanted <= request or expandable
    assert wanted >= request or wanted > capacity
    target = system(asked(f"{spec}Gi"))
    if capacity >= spec:
        assert storage.obstacles(target, observed) == []
    elif wanted == request:
        assert len(storage.obstacles(target, observed)) == 1


def test_the_claim_of_a_graph_that_is_off_is_still_the_systems() -> None:
    observed = seen(claim("data-m-neo4j-0"))
    (wanted,) = storage.claims(system({"graph": {"provider": "none"}, "deletionPolicy": "Delete"}), observed)
    assert wanted["metadata"]["name"] == "data-m-neo4j-0"
    assert wanted["metadata"]["ownerReferences"][0]["kind"] == "MemorySystem"
