"""A signed scope: whatever it says, it leaves no more than the key grants, and only its own key can sign it."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys import Delegation
from memsys_api.access import secrets
from memsys_api.access.grants import Caller
from memsys_api.access.narrowing import MAX_LENGTH, narrow, narrowed, read, signing_key
from memsys_api.problems import FORBIDDEN, INVALID_REQUEST, UNAUTHENTICATED, Kind, ProblemError

KEY = "msk_" + "a" * 12 + "_" + "b" * 32
NOW = 1_800_000_000.0
ADMIN = Caller("admin", "admin", None, "default", frozenset({"read", "write", "admin"}))
SERVICE = Caller("mcp-server", "id", frozenset({"a", "b"}), "b", frozenset({"read", "write"}))
ANN = Delegation("ann", ("a",), ("read",))

names = st.sampled_from(["a", "b", "c", "default"])
ids = st.sampled_from([None, "u", "v"])
rights = st.frozensets(st.sampled_from(["read", "write", "admin"]))
callers = st.builds(
    Caller,
    st.just("k"),
    st.just("id"),
    st.none() | st.frozensets(names),
    names,
    rights,
    user_id=ids,
    agent_id=ids,
)
delegations = st.builds(
    Delegation,
    st.text(
        st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]), min_size=1, max_size=9
    ),
    st.just(("*",)) | st.lists(names, max_size=4).map(tuple),
    rights.map(tuple),
    user_id=ids,
    agent_id=ids,
)


@given(callers, delegations)
def test_a_scope_can_only_narrow(caller: Caller, delegation: Delegation) -> None:
    scope = read(delegation.sign(KEY, NOW), KEY, NOW)
    others = [{getattr(caller, field), getattr(delegation, field)} - {None} for field in ("user_id", "agent_id")]
    if any(len(both) > 1 for both in others):
        assert refusal(lambda: narrow(caller, scope)) is FORBIDDEN
        return
    left = narrow(caller, scope)
    assert left.rights == caller.rights & set(delegation.rights)
    if caller.projects is not None:
        assert left.projects is not None
        assert left.projects <= caller.projects
    if delegation.projects != ("*",):
        assert left.projects is not None
        assert left.projects <= set(delegation.projects)
        assert not left.projects or left.default_project in left.projects
    for field in ("user_id", "agent_id"):
        assert getattr(caller, field) in (None, getattr(left, field))
        assert getattr(delegation, field) in (None, getattr(left, field))
    assert left.key_id == caller.key_id


def test_the_audit_shows_on_whose_behalf() -> None:
    assert narrowed(SERVICE, [ANN.sign(KEY, NOW)], KEY, NOW).name == "mcp-server (on behalf of ann)"


def test_without_a_scope_the_key_says_all() -> None:
    assert narrowed(SERVICE, [], KEY, NOW) is SERVICE


def test_the_default_project_is_the_key_s_own_where_it_is_left_and_else_the_scope_s_first() -> None:
    def default(*projects: str) -> str:
        return narrowed(SERVICE, [Delegation("ann", projects, ("read",)).sign(KEY, NOW)], KEY, NOW).default_project

    assert default("a", "b") == "b"
    assert default("c", "a") == "a"
    assert default("*") == "b"


@pytest.mark.parametrize("key", [KEY[:-1] + "c", "another-admin-key-of-old", secrets.digest("b" * 32)])
def test_only_the_presented_key_signs(key: str) -> None:
    """The last one is what a reader of the database has: the stored digest."""
    with pytest.raises(ProblemError) as refused:
        read(ANN.sign(key, NOW), KEY, NOW)
    assert refused.value.kind is UNAUTHENTICATED


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_byte_of_it_can_be_changed(place: int, change: int) -> None:
    header = ANN.sign(KEY, NOW)
    place %= len(header)
    changed = header[:place] + chr((ord(header[place]) + change) % 256) + header[place + 1 :]
    if meaning(changed) == meaning(header):
        return  # the last character of base64 carries bits that decode to nothing
    assert refusal(lambda: read(changed, KEY, NOW)) in (UNAUTHENTICATED, INVALID_REQUEST)


@pytest.mark.parametrize(("later", "good"), [(-10, False), (-4, True), (0, True), (59, True), (64, True), (66, False)])
def test_it_is_good_for_a_minute(later: float, good: bool) -> None:
    header = ANN.sign(KEY, NOW)
    if good:
        assert read(header, KEY, NOW + later).sub == "ann"
        return
    with pytest.raises(ProblemError) as refused:
        read(header, KEY, NOW + later)
    assert refused.value.kind is UNAUTHENTICATED


@given(st.text(max_size=60) | st.sampled_from([".", "a.", ".a", "a.b.c", "=.=", "a" * MAX_LENGTH + ".a"]))
def test_what_is_no_scope_is_refused_and_never_ignored(text: str) -> None:
    with pytest.raises(ProblemError) as refused:
        narrowed(ADMIN, [text], KEY, NOW)
    assert refused.value.kind in (INVALID_REQUEST, UNAUTHENTICATED)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another"},
        {"aud": None},
        {"sub": ""},
        {"sub": "a\nb"},
        {"projects": None},
        {"projects": "a"},
        {"projects": ["A B"]},
        {"projects": ["*", "a"]},
        {"rights": ["root"]},
        {"rights": None},
        {"user_id": ""},
        {"exp": "1800000030"},
        {"exp": None},
        {"scope": "admin"},
    ],
)
def test_a_signed_scope_that_says_something_else_is_refused(changes: dict[str, object]) -> None:
    payload, _ = ANN.sign(KEY, NOW).split(".")
    fields = json.loads(urlsafe_b64decode(payload + "==")) | changes
    with pytest.raises(ProblemError) as refused:
        read(signed(json.dumps({name: value for name, value in fields.items() if value is not None})), KEY, NOW)
    assert refused.value.kind is INVALID_REQUEST


@pytest.mark.parametrize("document", ["", "[]", "null", "{", '"x"', "{}", "\xff"])
def test_a_signed_thing_that_is_no_scope_is_refused(document: str) -> None:
    with pytest.raises(ProblemError) as refused:
        read(signed(document or " "), KEY, NOW)
    assert refused.value.kind is INVALID_REQUEST


def test_two_scopes_are_refused() -> None:
    header = ANN.sign(KEY, NOW)
    with pytest.raises(ProblemError) as refused:
        narrowed(SERVICE, [header, header], KEY, NOW)
    assert refused.value.kind is INVALID_REQUEST


def test_another_user_than_the_key_s_is_refused() -> None:
    caller = Caller("k", "id", frozenset({"a"}), "a", frozenset({"read"}), user_id="u")
    with pytest.raises(ProblemError) as refused:
        narrowed(caller, [Delegation("ann", ("a",), ("read",), user_id="v").sign(KEY, NOW)], KEY, NOW)
    assert refused.value.kind is FORBIDDEN


def refusal(call: Callable[[], object]) -> Kind:
    """The kind of problem that a call ends in."""
    with pytest.raises(ProblemError) as refused:
        call()
    return refused.value.kind


def meaning(header: str) -> tuple[str, bytes] | None:
    """What is signed, and the signature's bytes; ``None`` where it is not even base64."""
    payload, _, signature = header.partition(".")
    if not signature.isascii() or not signature.replace("-", "").replace("_", "").isalnum():
        return None
    return payload, urlsafe_b64decode(signature + "=" * (-len(signature) % 4))


def signed(document: str) -> str:
    """A scope of any content under a good signature."""

    def encode(data: bytes) -> str:
        return urlsafe_b64encode(data).rstrip(b"=").decode()

    payload = encode(document.encode("latin-1"))
    return f"{payload}.{encode(hmac.digest(signing_key(KEY), payload.encode(), hashlib.sha256))}"
