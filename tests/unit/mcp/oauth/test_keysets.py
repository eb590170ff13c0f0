"""The keys of an issuer: found, kept, exchanged, and never fetched as often as an attacker likes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from memsys_mcp.oauth import keysets
from memsys_mcp.oauth.keysets import IssuerAway, IssuerKeys, is_trustworthy, metadata_urls
from memsys_mcp.oauth.tokens import TokenRefused
from tests.support.issuer import Issuer

URL = "https://issuer.example.org"


class World:
    """An issuer, a clock, and what was fetched when."""

    def __init__(self, documents: dict[str, Any] | None = None) -> None:
        self.issuer = Issuer(URL)
        self.now = 1000.0
        self.fetched: list[str] = []
        self.documents = documents

    async def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        await asyncio.sleep(0)
        if self.issuer.away:
            raise OSError("no route")
        if self.documents is not None and url not in self.documents:
            raise ValueError("not JSON")
        found = self.issuer.public_keys() if self.documents is None else self.documents[url]
        return json.dumps(self.issuer.public_keys() if found == "keys" else found).encode()

    def keys(self, jwks_url: str | None = f"{URL}/jwks") -> IssuerKeys:
        return IssuerKeys(URL, jwks_url, self.fetch, lambda: self.now)


async def test_keys_are_fetched_once_and_kept() -> None:
    world = World()
    keys = world.keys()
    found = await asyncio.gather(*(keys.find("key-1", "RS256") for _ in range(20)))
    assert {key.kid for key in found} == {"key-1"}
    assert len(world.fetched) == 1
    world.now += keysets.FRESH_SECONDS + 1
    await keys.find("key-1", "RS256")
    assert len(world.fetched) == 2


async def test_a_new_key_is_fetched_when_it_is_first_used() -> None:
    world = World()
    keys = world.keys()
    await keys.find("key-1", "RS256")
    world.issuer.rotate()
    world.now += keysets.REFRESH_SECONDS
    assert (await keys.find("key-2", "RS256")).kid == "key-2"
    assert (await keys.find("key-1", "RS256")).kid == "key-1"


async def test_invented_key_ids_do_not_make_the_server_a_hammer() -> None:
    world = World()
    keys = world.keys()
    for number in range(200):
        with pytest.raises(TokenRefused, match="no such key"):
            await keys.find(f"invented-{number}", "RS256")
        world.now += 1
    assert len(world.fetched) <= 200 / keysets.REFRESH_SECONDS + 1


async def test_an_issuer_that_is_away_is_not_the_token_s_fault() -> None:
    world = World()
    keys = world.keys()
    world.issuer.away = True
    for _ in range(3):
        with pytest.raises(IssuerAway):
            await keys.find("key-1", "RS256")
    assert len(world.fetched) == 1, "a failed fetch is not repeated at once either"
    world.issuer.away = False
    world.now += keysets.REFRESH_SECONDS
    assert (await keys.find("key-1", "RS256")).kid == "key-1"
    world.issuer.away = True
    world.now += keysets.FRESH_SECONDS + 1
    assert (await keys.find("key-1", "RS256")).kid == "key-1", "known keys outlive a short absence"
    world.now += keysets.STALE_SECONDS
    with pytest.raises(IssuerAway):
        await keys.find("key-1", "RS256")


async def test_without_a_key_id_only_the_one_fitting_key_will_do() -> None:
    world = World()
    assert (await world.keys().find(None, "RS256")).kid == "key-1"
    world.issuer.rotate()
    with pytest.raises(TokenRefused):
        await world.keys().find(None, "RS256")
    with pytest.raises(TokenRefused):
        await world.keys().find("key-1", "ES256")
    with pytest.raises(TokenRefused):
        await world.keys().find("key-1", "PS256"), "the key says what it is for"


@pytest.mark.parametrize(
    "document",
    [{}, [], {"keys": []}, {"keys": [7, {"kty": "oct", "k": "AAAA", "kid": "key-1"}]}, {"keys": [{"kty": "RSA"}]}],
)
async def test_a_set_without_a_usable_key_is_no_set(document: Any) -> None:
    world = World({f"{URL}/jwks": document})
    with pytest.raises(IssuerAway):
        await world.keys().find("key-1", "RS256")


async def test_the_address_of_the_keys_is_discovered_from_the_issuer_s_own_metadata() -> None:
    place = f"{URL}/.well-known/openid-configuration"
    world = World({place: {"issuer": URL, "jwks_uri": f"{URL}/k"}, f"{URL}/k": "keys"})
    assert (await world.keys(None).find("key-1", "RS256")).kid == "key-1"
    for wrong in (
        {"issuer": "https://evil.example.org", "jwks_uri": f"{URL}/k"},
        {"issuer": URL, "jwks_uri": "http://evil.example.org/k"},
        {"issuer": URL},
        ["issuer"],
    ):
        world = World({place: wrong, f"{URL}/k": "keys"})
        with pytest.raises(IssuerAway):
            await world.keys(None).find("key-1", "RS256")


def test_metadata_is_looked_for_where_mcp_says() -> None:
    assert metadata_urls(URL) == [
        f"{URL}/.well-known/oauth-authorization-server",
        f"{URL}/.well-known/openid-configuration",
    ]
    assert metadata_urls(f"{URL}/realms/r") == [
        f"{URL}/.well-known/oauth-authorization-server/realms/r",
        f"{URL}/.well-known/openid-configuration/realms/r",
        f"{URL}/realms/r/.well-known/openid-configuration",
    ]


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://issuer.example.org/jwks", True),
        ("http://127.0.0.1:9/jwks", True),
        ("http://keycloak.auth.svc/jwks", True),
        ("http://issuer.example.org/jwks", False),
        ("ftp://issuer.example.org", False),
        ("file:///etc/passwd", False),
        ("https:///jwks", False),
        ("", False),
    ],
)
def test_keys_come_from_where_nobody_can_change_them(url: str, good: bool) -> None:
    assert is_trustworthy(url) is good
