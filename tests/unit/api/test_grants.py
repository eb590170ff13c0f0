"""What a key grants."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from memsys_api.access.grants import PROJECT_NAME, SCOPE_IDS, Access, Caller, enter
from memsys_api.model import Scope
from memsys_api.problems import FORBIDDEN, INVALID_REQUEST, ProblemError

ADMIN = Caller("admin", "admin", None, "default", frozenset({"read", "write", "admin"}))
LIMITED = Caller("k", "id", frozenset({"a", "b"}), "b", frozenset({"read"}), user_id="u")


def test_a_request_that_names_no_project_goes_to_the_key_s_own() -> None:
    assert enter(LIMITED, None, "read") == Access(LIMITED, "b", named=False)
    assert enter(LIMITED, "a", "read") == Access(LIMITED, "a", named=True)
    assert enter(ADMIN, "anything", "admin").project == "anything"


@pytest.mark.parametrize(("caller", "project", "right"), [(LIMITED, "c", "read"), (LIMITED, "a", "write")])
def test_beyond_the_grant_is_forbidden(caller: Caller, project: str, right: str) -> None:
    with pytest.raises(ProblemError) as refused:
        enter(caller, project, right)  # type: ignore[arg-type]
    assert refused.value.kind is FORBIDDEN


def test_a_project_of_another_name_is_refused_before_anything_else() -> None:
    with pytest.raises(ProblemError) as refused:
        enter(LIMITED, "Not A Name", "write")
    assert refused.value.kind is INVALID_REQUEST


def test_only_the_admin_key_without_a_project_means_everywhere() -> None:
    assert enter(ADMIN, None, "read").everywhere
    assert not enter(ADMIN, "a", "read").everywhere
    assert not enter(LIMITED, None, "read").everywhere


def test_a_scope_is_narrowed_to_the_granted_user_and_never_past_it() -> None:
    access = enter(LIMITED, "a", "read")
    assert access.scope() == access.scope(user_id="u") == Scope("a", user_id="u")
    assert access.scope(run_id="r") == Scope("a", user_id="u", run_id="r")
    with pytest.raises(ProblemError) as refused:
        access.scope(user_id="v")
    assert [e.field for e in refused.value.errors] == ["user_id"]


@pytest.mark.parametrize("name", ["a", "a1", "my-project", "v1.2_x", "x" * 100])
def test_names_that_projects_may_have(name: str) -> None:
    assert PROJECT_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", ".a", "a b", "a/b", "é", "a\n", "x" * 101])
def test_names_that_projects_may_not_have(name: str) -> None:
    assert not PROJECT_NAME.fullmatch(name)


def test_a_grant_for_a_part_of_a_project_has_idempotency_keys_of_its_own() -> None:
    def known(**ids: str | None) -> str:
        return enter(replace(LIMITED, **{"user_id": None, **ids}), "a", "read").idempotency_key("k")  # type: ignore[arg-type]

    assert known() == enter(ADMIN, None, "read").idempotency_key("k") == "k"
    parts = [{field: value} for field in SCOPE_IDS for value in ("u", "v")] + [{"user_id": "u", "run_id": "u"}]
    assert len({known(**part) for part in parts} | {"k"}) == len(parts) + 1
    assert known(user_id="u") == enter(replace(LIMITED, key_id="other", name="other"), "b", "read").idempotency_key("k")
    assert not any(re.fullmatch(r"[\x20-\x7e]+", known(**part)) for part in parts)  # as given ones must be
