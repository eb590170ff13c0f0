"""Fields that many requests share."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from memsys_api.schemas.fields import MAX_TTL_SECONDS, WHOLE, Seconds

INTEGER = TypeAdapter(Annotated[int, Field(strict=True), WHOLE])


@pytest.mark.parametrize(("given", "read"), [(1, 1), (1.0, 1), (2.0**53, 2**53), (-3.0, -3)])
def test_a_number_without_a_fraction_is_an_integer(given: float, read: int) -> None:
    value = INTEGER.validate_python(given)
    assert (type(value), value) == (int, read)


@pytest.mark.parametrize("given", [1.5, 2.0**53 + 2, 1e300, float("nan"), float("inf"), True, "1", None])
def test_nothing_else_is(given: object) -> None:
    with pytest.raises(ValidationError, match="valid integer"):
        INTEGER.validate_python(given)


def test_the_bounds_of_seconds_are_described() -> None:
    assert TypeAdapter(Seconds).json_schema() == {"type": "integer", "minimum": 1, "maximum": MAX_TTL_SECONDS}
