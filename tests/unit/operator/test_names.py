from __future__ import annotations

from memsys_operator import names
from memsys_operator.resources import pods

from .support import desired, system

#: Pod names of a StatefulSet and a Deployment add up to 17 characters (-<hash>-<random>), labels hold 63.
LONGEST = "a" * 40


def test_the_longest_name_still_makes_names_that_fit_a_label() -> None:
    made = [
        *(names.component(LONGEST, part) for part in names.COMPONENTS),
        names.postgres_service(LONGEST),
        names.admin_key_secret(LONGEST),
    ]
    assert max(map(len, made)) <= 63 - 10


def test_the_selector_is_part_of_the_labels() -> None:
    assert names.selector("m", "api").items() <= names.labels("m", "api").items()


def test_two_parts_of_a_system_and_one_part_of_two_systems_are_told_apart() -> None:
    selectors = [names.selector(s, p) for s in ("m", "k") for p in names.COMPONENTS]
    assert len({tuple(sorted(selector.items())) for selector in selectors}) == len(selectors)


def test_everything_made_is_labelled_as_the_systems() -> None:
    target = system({"api": {"replicas": 2}, "mcp": {"replicas": 2}})
    for manifest in desired(target):
        assert manifest["metadata"]["labels"][names.SYSTEM_LABEL] == "m", manifest["metadata"]["name"]
        assert manifest["metadata"]["labels"][names.MANAGED_BY_LABEL] == names.FIELD_MANAGER
        assert manifest["metadata"]["name"].startswith(("m-", "data-m-"))


def test_a_controlling_owner_is_the_system_itself() -> None:
    reference = pods.owner(system())
    assert (reference["kind"], reference["name"], reference["controller"]) == (names.KIND, "m", True)
