"""Signatures: the vector of the specification's own libraries, and what is no secret."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.sinks.webhooks import signing


def test_the_vector_of_the_standard_webhooks_libraries() -> None:
    # https://github.com/standard-webhooks/standard-webhooks, the test of each of its libraries
    assert signing.headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    ) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_each_generated_secret_is_another_and_of_256_bits() -> None:
    first, second = signing.generate(), signing.generate()
    assert first != second
    assert len(signing.key(first)) == 32


@given(st.binary(max_size=100))
def test_a_secret_has_24_to_64_bytes(raw: bytes) -> None:
    secret = signing.PREFIX + base64.b64encode(raw).decode()
    if 24 <= len(raw) <= 64:
        assert signing.key(secret) == raw
    else:
        with pytest.raises(signing.SecretError, match="24 to 64"):
            signing.key(secret)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not*base64*at*all*not*base64"]
)
def test_what_is_no_secret_is_refused(secret: str) -> None:
    with pytest.raises(signing.SecretError, match="whsec_"):
        signing.key(secret)
