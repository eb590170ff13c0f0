"""One token against one key: what is good, and every way of being bad."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, RSAKey

from memsys_mcp.oauth import tokens
from memsys_mcp.oauth.tokens import TokenRefused, looks_like_token
from tests.support.issuer import Issuer, sign, signed_with_the_public_key

ISSUER = Issuer("https://issuer.example.org")
HERE = "https://memory.example.org/p/shop/mcp"
ALLOWED = ("RS256", "ES256")


def check(token: str, key: Any = None, now: float | None = None) -> dict[str, Any]:
    claimed = tokens.peek(token, ALLOWED)
    return dict(
        tokens.verify(
            token,
            key or ISSUER.keys[-1],
            algorithm=claimed.algorithm,
            issuer=ISSUER.url,
            audiences={HERE},
            now=time.time() if now is None else now,
        )
    )


def nested(depth: int, name: str = "x") -> str:
    """A part of a token whose JSON goes as deep, and is never closed."""
    return urlsafe_b64encode(f'{{"{name}":'.encode() + b"[" * depth).rstrip(b"=").decode()


@pytest.mark.parametrize("depth", [500, 900, 990, 3000, 9000])
def test_what_is_nested_too_deeply_is_no_token(depth: int) -> None:
    header = urlsafe_b64encode(b'{"alg":"RS256"}').rstrip(b"=").decode()
    assert not looks_like_token(f"{nested(depth, 'alg')}.e30.e30")
    for token in (f"{nested(depth)}.e30.AAAA", f"{header}.{nested(depth)}.AAAA"):
        with pytest.raises(TokenRefused, match="not a signed JWT"):
            tokens.peek(token, ALLOWED)


def test_a_good_token_is_good() -> None:
    assert check(ISSUER.token(HERE))["sub"] == "ann"
    assert check(ISSUER.token(["https://elsewhere", HERE]))["sub"] == "ann"
    assert check(ISSUER.token(HERE, header={"typ": None, "x5t": "abc"}))["sub"] == "ann", "as many issuers write them"


def test_an_elliptic_key_is_as_good() -> None:
    key = ECKey.generate_key("P-256", private=True)
    claims = {"iss": ISSUER.url, "sub": "ann", "aud": HERE, "exp": time.time() + 60}
    assert check(sign(claims, key, {"alg": "ES256"}), key)["sub"] == "ann"


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, "does not say when it expires"),
        ({"exp": "2099-01-01"}, "exp is not a number"),
        ({"exp": True}, "exp is not a number"),
        ({"nbf": time.time() + 600}, "not valid yet"),
        ({"nbf": "soon"}, "nbf is not a number"),
        ({"iss": "https://issuer.example.org/"}, "another issuer"),
        ({"aud": "https://memory.example.org/p/bank/mcp"}, "another resource"),
        ({"aud": "https://memory.example.org"}, "another resource"),
        ({"aud": None}, "another resource"),
        ({"aud": []}, "another resource"),
        ({"sub": None}, "no subject"),
        ({"sub": ""}, "no subject"),
        ({"sub": "a\nb"}, "no subject"),
        ({"sub": 7}, "no subject"),
        ({"cnf": {"jkt": "x"}}, "bound to a key"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(claims: dict[str, Any], says: str) -> None:
    with pytest.raises(TokenRefused, match=says):
        check(ISSUER.token(HERE, **claims))


def test_clocks_may_differ_by_a_little() -> None:
    now = time.time()
    assert check(ISSUER.token(HERE, exp=int(now) - tokens.LEEWAY_SECONDS + 5), now=now)
    assert check(ISSUER.token(HERE, nbf=int(now) + tokens.LEEWAY_SECONDS - 5), now=now)


@pytest.mark.parametrize(
    "header", [{"typ": "logout+jwt"}, {"typ": "dpop+jwt"}, {"crit": ["b64"], "b64": False}, {"kid": None, "typ": 7}]
)
def test_a_token_of_another_kind_is_refused(header: dict[str, Any]) -> None:
    text = ISSUER.token(HERE)
    claims = text.split(".")[1]
    head = head_of("RS256", **header)
    with pytest.raises(TokenRefused):
        check(f"{head}.{claims}.{text.split('.')[2]}")


def test_forged_signatures_are_refused() -> None:
    good = ISSUER.token(HERE)
    head, claims, signature = good.split(".")
    now = time.time()
    fields = {"iss": ISSUER.url, "sub": "eve", "aud": HERE, "exp": now + 60}
    other = RSAKey.generate_key(2048, {"kid": ISSUER.keys[-1].kid}, private=True)
    other_claims = ISSUER.token(HERE, sub="eve").split(".")[1]
    for forged, says in (
        (sign(fields, other, {"alg": "RS256"}), "signature is wrong"),
        (f"{head}.{other_claims}.{signature}", "signature is wrong"),
        (f"{head}.{claims}.{'A' * len(signature)}", "signature is wrong"),
        (signed_with_the_public_key(ISSUER, fields), "algorithm is not one of"),
        (sign(fields, OctKey.import_key("x" * 32), {"alg": "HS256"}), "algorithm is not one of"),
        (f"{head_of('none')}.{claims}.", "not a signed JWT"),
        (f"{head_of('none')}.{claims}.AA", "algorithm is not one of"),
        (f"{head_of('None')}.{claims}.{signature}", "algorithm is not one of"),
        (sign(fields, other, {"alg": "PS256"}), "algorithm is not one of"),
    ):
        with pytest.raises(TokenRefused, match=says):
            check(forged)


def test_even_where_a_mac_were_allowed_a_public_key_is_no_secret() -> None:
    forged = signed_with_the_public_key(ISSUER, {"iss": ISSUER.url, "sub": "eve", "aud": HERE, "exp": time.time() + 60})
    with pytest.raises(TokenRefused, match="signature is wrong"):
        tokens.verify(forged, ISSUER.keys[-1], algorithm="HS256", issuer=ISSUER.url, audiences={HERE}, now=time.time())


@given(st.text(max_size=200) | st.sampled_from(["..", "a.b.c", "e30.e30.e30", "W10.W10.W10", "." * 5, "a" * 20_000]))
def test_what_is_no_token_is_refused_and_breaks_nothing(text: str) -> None:
    with pytest.raises(TokenRefused):
        check(text)


@pytest.mark.parametrize("key", ["msk_" + "a" * 12 + "_" + "b" * 32, "a.dotted.admin-key", "one.two.three", "plain"])
def test_a_key_does_not_look_like_a_token(key: str) -> None:
    assert not looks_like_token(key)


def test_tokens_signed_or_encrypted_look_like_tokens() -> None:
    assert looks_like_token(ISSUER.token(HERE))
    assert looks_like_token(f"{head_of('RSA-OAEP', enc='A256GCM')}.AA.AA.AA.AA")
    assert looks_like_token(f"{head_of('none')}.e30.")


def head_of(algorithm: str, **fields: object) -> str:
    text = json.dumps({"alg": algorithm, **fields})
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
