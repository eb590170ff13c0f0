"""An authorization server, as a resource server sees it: metadata, keys that change, tokens of every kind."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from joserfc import jwk, jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass
class Issuer:
    """Signs with the newest of its keys, publishes all of them, and counts how often they are fetched."""

    url: str = ""
    keys: list[RSAKey] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    away: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        kid = f"key-{len(self.keys) + 1}"
        self.keys.append(RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"}, private=True))

    def token(
        self, audience: str | list[str], scope: str = "", *, header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token that is good for five minutes; claims and header parameters of ``None`` are left out."""
        now = int(time.time())
        every = {"iss": self.url, "sub": "ann", "aud": audience, "iat": now, "exp": now + 300, "scope": scope, **claims}
        head = {"alg": "RS256", "kid": self.keys[-1].kid, "typ": "at+jwt", **(header or {})}
        return sign(_given(every), self.keys[-1], _given(head))

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._metadata),
                Route("/jwks", self._jwks),
                Route("/register", self._register, methods=["POST"]),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    def public_keys(self) -> dict[str, Any]:
        """The key set as it is published."""
        return {"keys": [key.as_dict(private=False) for key in self.keys]}

    async def _metadata(self, request: Request) -> Response:
        self.fetched.append("metadata")
        places = {f"{name}_endpoint": f"{self.url}/{name}" for name in ("authorization", "token")}
        document = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks",
            "registration_endpoint": f"{self.url}/register",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            **places,
        }
        return JSONResponse(document, 503 if self.away else 200)

    def authorize(self, url: str) -> dict[str, str]:
        """What the person at the browser does: agree. The parameters that lead back to the client."""
        asked = dict(parse_qsl(urlsplit(url).query))
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": self.url}

    async def _register(self, request: Request) -> Response:
        return JSONResponse({**await request.json(), "client_id": "a-client"}, 201)

    async def _token(self, request: Request) -> Response:
        """Exchange a code: for whoever began (PKCE), for the resource and the scopes that were asked for."""
        form = await request.form()
        asked = self.codes.pop(str(form["code"]))
        challenge = _encoded(hashlib.sha256(str(form["code_verifier"]).encode()).digest())
        if challenge != asked["code_challenge"] or form["resource"] != asked["resource"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        token = self.token(asked["resource"], asked.get("scope", ""))
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": asked.get("scope", "")}
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    async def _jwks(self, request: Request) -> Response:
        self.fetched.append("jwks")
        return JSONResponse(self.public_keys(), 503 if self.away else 200)


def sign(claims: dict[str, Any], key: jwk.Key, header: dict[str, Any]) -> str:
    """A token of these claims, whatever the algorithm."""
    return jwt.encode(header, claims, key, algorithms=[str(header["alg"])], default_type=None)


def signed_with_the_public_key(issuer: Issuer, claims: dict[str, Any]) -> str:
    """The classic forgery: a MAC whose secret is the text of the issuer's public key. No good library makes one."""
    head = {"alg": "HS256", "kid": issuer.keys[-1].kid}
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
    secret = issuer.keys[-1].as_pem(private=False)
    return f"{signed}.{_encoded(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
