"""What a token's claims grant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_mcp.delegating import delegate
from memsys_mcp.oauth.grants import RIGHTS, Grants, Principal, ScopePattern, read
from memsys_mcp.projects import ProjectError

PATTERN = ScopePattern()
BOTH = frozenset(RIGHTS)


@pytest.mark.parametrize(
    ("claims", "rights"),
    [
        ({"scope": "memsys:project:shop:read"}, {"shop": {"read"}}),
        ({"scope": "openid memsys:project:shop:read memsys:project:shop:write"}, {"shop": BOTH}),
        ({"scp": ["memsys:project:a:read", "memsys:project:b.c:write"]}, {"a": {"read"}, "b.c": {"write"}}),
        ({"scope": "memsys:project:*:read"}, {"*": {"read"}}),
        ({"scope": "memsys:project:shop:admin memsys:project:UP:read memsys:project::read"}, {}),
        ({"scope": "xmemsys:project:shop:read memsys:project:shop:read:write"}, {}),
        ({"scope": ["memsys:project:shop:read", 7, None]}, {"shop": {"read"}}),
        ({"scope": {"memsys:project:shop:read": True}}, {}),
        ({}, {}),
    ],
)
def test_scopes_name_projects_and_rights(claims: dict[str, object], rights: dict[str, set[str]]) -> None:
    assert read(claims, PATTERN, None).rights == rights


@pytest.mark.parametrize(
    ("value", "rights"),
    [
        (["shop", "bank:read"], {"shop": BOTH, "bank": {"read"}}),
        ("shop bank:write", {"shop": BOTH, "bank": {"write"}}),
        (["UP", "shop:admin", "", ":read", 5], {}),
        (["*"], {"*": BOTH}),
        (None, {}),
        (True, {}),
    ],
)
def test_a_claim_may_list_projects(value: object, rights: dict[str, set[str]]) -> None:
    assert read({"memory": value}, PATTERN, "memory").rights == rights
    assert read({"memory": value}, PATTERN, None).rights == {}, "and does nothing unless it is named"


@given(st.text())
def test_no_scope_is_read_as_something_that_would_not_render_to_it(scope: str) -> None:
    found = PATTERN.parse(scope)
    assert found is None or PATTERN.render(*found) == scope


@pytest.mark.parametrize("pattern", ["", "{project}", "{right}", "{project}{project}{right}", "a {project} {right}"])
def test_a_pattern_has_both_places_and_no_blank(pattern: str) -> None:
    with pytest.raises(ValueError, match="must hold"):
        ScopePattern(pattern)


def test_characters_of_a_pattern_mean_themselves() -> None:
    pattern = ScopePattern("https://x.y/{right}?p={project}")
    assert pattern.parse("https://x.y/read?p=shop") == ("shop", "read")
    assert pattern.parse("https://xzy/read?p=shop") is None


def principal(user_id: str | None = None, **rights: frozenset[str]) -> Principal:
    return Principal(
        "https://issuer", "ann", "ann", Grants({"*" if p == "every" else p: r for p, r in rights.items()}), user_id
    )


def test_a_right_in_one_project_is_none_in_another() -> None:
    ann = principal(a=frozenset({"read"}), b=frozenset({"write"}))
    assert delegate(ann, "a").rights == ("read",)
    assert delegate(ann, "b").rights == ("write",)
    with pytest.raises(ProjectError, match="does not grant the project 'c'"):
        delegate(ann, "c")
    with pytest.raises(ProjectError, match="does not guess"):
        delegate(ann, None)


def test_a_project_that_is_named_is_the_only_one_even_where_all_are_granted() -> None:
    ann = principal(every=BOTH, user_id="u-7")
    assert delegate(ann, "shop").projects == ("shop",)
    assert delegate(ann, None).projects == ("*",)
    assert delegate(ann, "shop").user_id == "u-7"
    assert delegate(principal(shop=BOTH), None).projects == ("shop",)
