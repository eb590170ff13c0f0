import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from memsys_mcp import caller
from memsys_mcp.caller import Caller
from memsys_mcp.oauth.grants import Grants, Principal


@pytest.mark.parametrize(
    ("headers", "given"),
    [
        ({"authorization": "Bearer msk_1"}, "msk_1"),
        ({"authorization": "token  msk_1 "}, "msk_1"),
        ({"x-api-key": "msk_1"}, "msk_1"),
        ({"authorization": "Basic dTpw", "x-api-key": "msk_1"}, "msk_1"),
        ({"authorization": "Bearer msk_1", "x-api-key": "msk_1"}, "msk_1"),
        ({"authorization": "Bearer "}, None),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "msk_1"}, None),
        ({"x-api-key": " "}, None),
        ({}, None),
    ],
)
def test_where_credentials_are_looked_for(headers: dict[str, str], given: str | None):
    assert caller.credentials_of(Headers(headers)) == given


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer msk_1"), ("x-api-key", "msk_2")],
        [("authorization", "Bearer msk_1"), ("authorization", "Bearer msk_2")],
        [("x-api-key", "msk_1"), ("x-api-key", "msk_2")],
        [("authorization", "Bearer a b")],
        [("x-api-key", "k\xe9y")],
        [("x-api-key", "a\r\nX-Memsys-Project: b")],
    ],
)
def test_credentials_that_leave_a_choice_or_are_none_are_refused(headers: list[tuple[str, str]]):
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    with pytest.raises(caller.Unclear):
        caller.credentials_of(Headers(raw=raw))


def test_a_caller_is_either_somebody_with_a_key_or_somebody_vouched_for():
    ann = Principal("https://issuer", "ann", "ann", Grants())
    for wrong in ({}, {"key": "msk_1", "principal": ann}):
        with pytest.raises(ValueError, match="a key of its own, or"):
            Caller(**wrong)  # type: ignore[arg-type]


def test_every_token_of_one_subject_and_user_is_one_caller_and_no_key_is_ever_that():
    def fingerprint(issuer: str, subject: str, user: str | None = None) -> str:
        return Caller(principal=Principal(issuer, subject, subject, Grants(), user)).fingerprint

    assert fingerprint("https://a", "ann") == fingerprint("https://a", "ann")
    assert fingerprint("https://a", "app", "ann") == fingerprint("https://a", "app", "ann")
    assert len({fingerprint("https://a", "app", user) for user in ("ann", "bob", "", None)}) == 4
    others = {fingerprint("https://a", "bob"), fingerprint("https://b", "ann"), Caller("https://a\0ann").fingerprint}
    assert fingerprint("https://a", "ann") not in others


@given(st.text())
def test_a_request_id_is_taken_over_only_if_it_is_fit_for_a_log(given_id: str):
    used = caller.request_id_of({"x-request-id": given_id})
    assert caller.REQUEST_ID.fullmatch(used)
    assert used == given_id or len(used) == 32


def test_a_caller_does_not_show_its_key():
    found = Caller("msk_secret", path_project="shop")
    assert "msk_secret" not in repr(found) + found.fingerprint
