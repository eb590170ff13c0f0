from __future__ import annotations

from typing import Any

import pytest

from memsys_operator.observed import Observed
from memsys_operator.resources import storage

from .support import claim, seen, system


def asked(size: str) -> dict[str, Any]:
    return {"postgres": {"storage": {"size": size}}}


def size_of(observed: Observed, size: str) -> str:
    (wanted,) = storage.claims(system(asked(size)), observed)
    result: str = wanted["spec"]["resources"]["requests"]["storage"]
    return result


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
    assert storage.growth(system(asked(size)), observed) == {}
    assert size_of(observed, size) == "10Gi"


def test_the_claim_of_a_graph_that_is_off_is_still_the_systems() -> None:
    observed = seen(claim("data-m-neo4j-0"))
    (wanted,) = storage.claims(system({"graph": {"provider": "none"}, "deletionPolicy": "Delete"}), observed)
    assert wanted["metadata"]["name"] == "data-m-neo4j-0"
    assert wanted["metadata"]["ownerReferences"][0]["kind"] == "MemorySystem"
