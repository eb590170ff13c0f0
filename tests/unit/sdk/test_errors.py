import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import memsys
from memsys.errors import FieldError, problem

DOCUMENT = {
    "type": "https://memsys.dev/problems/invalid",
    "title": "Invalid request",
    "status": 422,
    "detail": "The request is not valid.",
    "errors": [{"field": "user_id", "message": "must not be empty"}],
}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, memsys.Invalid),
        (401, memsys.Unauthorized),
        (403, memsys.Forbidden),
        (404, memsys.NotFound),
        (409, memsys.Conflict),
        (413, memsys.TooLarge),
        (418, memsys.ProblemError),
        (422, memsys.Invalid),
        (429, memsys.RateLimited),
        (500, memsys.ServerError),
        (502, memsys.ServiceUnavailable),
        (503, memsys.ServiceUnavailable),
        (504, memsys.ServiceUnavailable),
        (507, memsys.ServerError),
    ],
)
def test_each_status_has_its_exception(status: int, kind: type[memsys.ProblemError]):
    error = problem(status, json.dumps(DOCUMENT).encode(), request_id="r1", retry_after=3.0)
    assert type(error) is kind
    assert error.status == status
    assert (error.request_id, error.retry_after) == ("r1", 3.0)


def test_a_body_that_is_nested_too_deeply_is_an_error_like_any_other():
    assert type(problem(500, b"[" * 100_000)) is memsys.ServerError


def test_a_problem_document_is_read_whole_and_said_in_one_line():
    error = problem(422, json.dumps(DOCUMENT).encode())
    assert error.type == "https://memsys.dev/problems/invalid"
    assert error.errors == (FieldError("user_id", "must not be empty"),)
    assert str(error) == "422 Invalid request: The request is not valid. (user_id: must not be empty)"


def test_the_validation_answer_of_a_plain_framework_names_its_fields_too():
    body = json.dumps({"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "is missing"}]}).encode()
    assert problem(422, body).errors == (FieldError("messages.0.role", "is missing"),)


def test_unavailable_covers_both_ways_of_not_being_served():
    assert issubclass(memsys.ServiceUnavailable, memsys.Unavailable)
    assert issubclass(memsys.Unreachable, memsys.Unavailable)
    assert issubclass(memsys.CircuitOpen, memsys.Unavailable)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.integers(400, 599),
    st.one_of(
        st.binary(),
        json_values.map(lambda value: json.dumps(value).encode()),
        st.fixed_dictionaries({}, optional=dict.fromkeys(("type", "title", "detail", "errors"), json_values)).map(
            lambda value: json.dumps(value).encode()
        ),
    ),
)
def test_no_body_at_all_can_hide_the_status(status: int, body: bytes):
    error = problem(status, body)
    assert error.status == status
    assert str(error).startswith(str(status))
    assert all(isinstance(item.field, str) and isinstance(item.message, str) for item in error.errors)
