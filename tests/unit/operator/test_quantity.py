from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_operator import quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", "1"), ("100m", "0.1"), ("0.5", "0.5"), (".5", "0.5"), ("1Gi", "1073741824"), ("1G", "1000000000"),
        ("1e3", "1000"), ("1E3", "1000"), ("2E", "2e18"), ("-1Gi", "-1073741824"), ("250n", "2.5e-7"),
        ("1.5Ki", "1536"),
    ],
)  # fmt: skip
def test_a_quantity_has_the_value_kubernetes_gives_it(text: str, value: str) -> None:
    assert quantity.parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "lots", "1 Gi", "Gi", "1gi", "1.2.3", "1KiB", "--1"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        quantity.parse(text)


def test_the_same_quantity_in_two_notations_is_equal() -> None:
    assert quantity.equal("1024Mi", "1Gi")
    assert quantity.equal("0.1", "100m")
    assert quantity.equal(2, "2")
    assert not quantity.equal("1G", "1Gi")
    assert not quantity.equal("1Gi", None)


@given(st.integers(0, 10**6), st.sampled_from(["Ki", "Mi", "Gi"]))
def test_a_binary_unit_is_1024_of_the_unit_below(number: int, unit: str) -> None:
    below = {"Ki": "", "Mi": "Ki", "Gi": "Mi"}[unit]
    assert quantity.equal(f"{number}{unit}", f"{number * 1024}{below}")
