"""No key makes, sees or renews one that grants more than itself: as a property over all pairs of keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from memsys_api.access.grants import SCOPE_IDS, Caller, beyond, enter
from memsys_api.problems import ProblemError
from memsys_api.store.keys import Grant

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_PROJECTS = ("a", "b", "c")
_RIGHTS = ("read", "write", "admin")
_bits = st.fixed_dictionaries(
    {
        "projects": st.lists(st.sampled_from(_PROJECTS), min_size=1, unique=True),
        "rights": st.lists(st.sampled_from(_RIGHTS), min_size=1, unique=True),
        "expires_at": st.none() | st.integers(1, 3).map(lambda days: _NOW + timedelta(days=days)),
        "requests_per_minute": st.none() | st.integers(1, 3),
        **{field: st.none() | st.sampled_from("uv") for field in SCOPE_IDS},
    }
)


def _caller(bits: dict[str, Any]) -> Caller:
    sets = {field: frozenset(bits[field]) for field in ("projects", "rights")}
    return Caller(name="k", key_id="k", default_project=bits["projects"][0], **{**bits, **sets})


def _reach(caller: Caller) -> set[tuple[object, ...]]:
    """Everything a key can do: in which project, by which right, to which part, on which day."""
    reached: set[tuple[object, ...]] = set()
    for project in _PROJECTS:
        for right in _RIGHTS:
            try:
                access = enter(caller, project, right)  # type: ignore[arg-type]
            except ProblemError:
                continue
            parts: list[tuple[str | None, ...]] = [()]
            for _ in SCOPE_IDS:
                parts = [(*part, value) for part in parts for value in ("u", "v")]
            for part in parts:
                try:
                    access.scope(*part)
                except ProblemError:
                    continue
                reached |= {
                    (project, right, part, day)
                    for day in range(5)
                    if caller.expires_at is None or caller.expires_at > _NOW + timedelta(days=day)
                }
    return reached


@given(_bits, _bits)
def test_what_a_caller_may_hand_on_reaches_no_further_than_itself(own: dict[str, Any], asked: dict[str, Any]) -> None:
    caller, child = _caller(own), _caller(asked)
    grant = Grant(name="child", default_project=asked["projects"][0], **asked)
    within = _reach(child) <= _reach(caller)
    if not beyond(caller, grant):
        assert within
        assert caller.requests_per_minute is None or (child.requests_per_minute or 10**9) <= caller.requests_per_minute


@given(_bits)
def test_a_caller_may_hand_on_all_that_it_has(own: dict[str, Any]) -> None:
    assert not beyond(_caller(own), Grant(name="twin", default_project=own["projects"][0], **own))
