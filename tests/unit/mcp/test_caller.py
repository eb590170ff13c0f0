import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_mcp import caller


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"authorization": "Bearer msk_1"}, "msk_1"),
        ({"authorization": "token  msk_1 "}, "msk_1"),
        ({"x-api-key": "msk_1"}, "msk_1"),
        ({"authorization": "Basic dTpw", "x-api-key": "msk_1"}, "msk_1"),
        ({"authorization": "Bearer msk_1", "x-api-key": "msk_2"}, "msk_1"),
        ({"authorization": "Bearer "}, None),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "msk_1"}, None),
        ({"authorization": "Bearer a b"}, None),
        ({"x-api-key": "kéy"}, None),
        ({"x-api-key": "a\r\nX-Memsys-Project: b"}, None),
        ({}, None),
    ],
)
def test_where_a_key_is_looked_for(headers: dict[str, str], key: str | None):
    assert caller.key_of(headers) == key


@given(st.text())
def test_a_request_id_is_taken_over_only_if_it_is_fit_for_a_log(given_id: str):
    used = caller.request_id_of({"x-request-id": given_id})
    assert caller.REQUEST_ID.fullmatch(used)
    assert used == given_id or len(used) == 32


def test_a_caller_does_not_show_its_key():
    found = caller.read({"x-api-key": "msk_secret", "x-memsys-project": "shop"}, "path")
    assert found is not None
    assert (found.path_project, found.header_project) == ("path", "shop")
    assert "msk_secret" not in repr(found) + found.fingerprint
