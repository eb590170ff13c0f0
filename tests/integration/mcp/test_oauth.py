"""Access tokens against the real API: what they open, and that nobody without credentials gains the server's."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastmcp
import httpx
import httpx2
import pytest
from fastmcp.client.transports import SSETransport, StreamableHttpTransport
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata
from pydantic import AnyUrl

import mcp
import memsys
from tests.support.issuer import Issuer, signed_with_the_public_key

from .clients import Session
from .conftest import StartMcp
from .processes import Process, free_port, python_module

ACCEPT = {"Accept": "application/json, text/event-stream"}
SECRET = "The harbour master keeps the spare key in the bell."
ANYONE = "none-i-understand-that-anyone-may-read-and-write"


@dataclass
class World:
    """A server that takes keys and tokens, its issuer, and two projects of which the server's key knows both."""

    issuer: Issuer
    server: Process
    public: str
    shop: str
    bank: str
    own_key: str

    def resource(self, project: str, transport: str = "mcp") -> str:
        return f"{self.public}/p/{project}/{transport}"

    def token(self, project: str, rights: str = "read write", audience: str | None = None, **claims: Any) -> str:
        scope = " ".join(f"memsys:project:{project}:{right}" for right in rights.split())
        return self.issuer.token(audience or self.resource(project), scope, **claims)

    def call(self, project: str, headers: Any, tool: str = "list_memories", **arguments: Any) -> httpx.Response:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        return httpx.post(
            f"{self.server.url}/p/{project}/mcp",
            json=message,
            headers=httpx.Headers([*_pairs(headers), *_pairs(ACCEPT)]),
        )


def _pairs(headers: Any) -> list[tuple[str, str]]:
    return list(headers.items()) if isinstance(headers, dict) else headers


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def world(issuer: Issuer, real_api: Process, admin: memsys.Client, start_mcp: StartMcp) -> World:
    shop, bank = (f"{name}-{uuid.uuid4().hex[:8]}" for name in ("shop", "bank"))
    own = admin.create_key("mcp-server", projects=[shop, bank]).key
    public = f"http://127.0.0.1:{free_port()}"  # only a name: what tokens are issued for
    server = start_mcp(
        real_api.url,
        MEMSYS_MCP_AUTH="keys+oauth",
        MEMSYS_MCP_API_KEY=own,
        MEMSYS_MCP_PUBLIC_URL=public,
        MEMSYS_MCP_OAUTH_ISSUER=issuer.url,
    )
    with memsys.Client(real_api.url, own, project=bank) as client:
        client.add(SECRET, infer=False)
    return World(issuer, server, public, shop, bank, own)


async def test_a_client_with_a_token_works_over_both_transports(world: World) -> None:
    http = StreamableHttpTransport(f"{world.server.url}/p/{world.shop}/mcp", headers=bearer(world.token(world.shop)))
    async with fastmcp.Client(http) as client:
        stored = await Session(client).call("add_memory", text="The shop opens at nine.")
        assert stored.data["results"][0]["project"] == world.shop, stored.text
    token = world.token(world.shop, audience=world.resource(world.shop, "sse"))
    sse = SSETransport(f"{world.server.url}/p/{world.shop}/sse", headers=bearer(token))
    async with fastmcp.Client(sse) as client:
        assert "opens at nine" in (await Session(client).call("list_memories")).text


def test_where_to_get_a_token_is_said_by_the_refusal_and_by_the_metadata(world: World) -> None:
    for path in ("/mcp", "/sse", f"/p/{world.shop}/mcp", f"/p/{world.shop}/sse"):
        refused = httpx.get(world.server.url + path)
        assert refused.status_code == 401
        challenge = refused.headers["www-authenticate"]
        place = f"{world.public}/.well-known/oauth-protected-resource{path}"
        assert f'resource_metadata="{place}"' in challenge
        assert "error=" not in challenge, "nothing was sent, so nothing was wrong with it"
        document = httpx.get(place.replace(world.public, world.server.url)).raise_for_status()
        found = document.json()
        assert found["resource"] == world.public + path
        assert found["authorization_servers"] == [world.issuer.url]
        assert found["bearer_methods_supported"] == ["header"]
        assert document.headers["access-control-allow-origin"] == "*"
        if world.shop in path:
            assert found["scopes_supported"] == [f"memsys:project:{world.shop}:{right}" for right in ("read", "write")]
            assert f'scope="{" ".join(found["scopes_supported"])}"' in challenge
    for path in ("", "/", "/p/shop", "/healthz", "/p/shop/messages", "/p/shop/mcp/"):
        assert httpx.get(f"{world.server.url}/.well-known/oauth-protected-resource{path}").status_code == 404


def test_a_token_reaches_its_own_project_alone(world: World) -> None:
    assert world.call(world.shop, bearer(world.token(world.shop))).status_code == 200
    for_shop = world.token(world.shop, audience=world.resource(world.bank))
    refused = world.call(world.bank, bearer(for_shop))
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert f"memsys:project:{world.bank}:read" in refused.headers["www-authenticate"]
    header = {**bearer(world.token(world.shop)), "X-Memsys-Project": world.bank}
    answer = world.call(world.shop, header)
    assert answer.json()["result"]["isError"], "the path and the header disagree"
    beyond = world.token("*", audience=world.resource("elsewhere"))
    answer = world.call("elsewhere", bearer(beyond))
    assert "does not allow this" in answer.text, "not even a token for everything exceeds the server's own key"


def test_a_token_that_may_read_may_not_write(world: World) -> None:
    reader = bearer(world.token(world.bank, "read"))
    assert SECRET in world.call(world.bank, reader).text
    refused = world.call(world.bank, reader, "add_memory", text="x")
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    writer = bearer(world.token(world.bank, "write"))
    assert world.call(world.bank, writer).status_code == 403
    assert not world.call(world.bank, writer, "add_memory", text="x").json()["result"].get("isError")


def test_no_bad_credentials_gain_those_of_the_server(world: World, issuer: Issuer, admin: memsys.Client) -> None:
    good = world.token(world.bank)
    stranger = Issuer(issuer.url)
    other_key = admin.create_key("other", projects=["other"]).key
    fields = {"iss": issuer.url, "sub": "eve", "aud": world.resource(world.bank), "exp": 4_000_000_000, "scope": "x"}
    cases: dict[str, tuple[Any, int]] = {
        "nothing": ({}, 401),
        "an empty bearer": ({"Authorization": "Bearer"}, 401),
        "basic": ({"Authorization": "Basic bXNrOm1zaw=="}, 401),
        "for another resource": (bearer(world.token(world.bank, audience=world.resource(world.shop))), 401),
        "for the server as a whole": (bearer(world.token(world.bank, audience=world.public)), 401),
        "expired": (bearer(world.token(world.bank, exp=1)), 401),
        "without an end": (bearer(world.token(world.bank, exp=None)), 401),
        "not yet": (bearer(world.token(world.bank, nbf=4_000_000_000)), 401),
        "of another issuer": (bearer(world.token(world.bank, iss="https://evil.example.org")), 401),
        "by another key": (
            bearer(stranger.token(world.resource(world.bank), f"memsys:project:{world.bank}:read")),
            401,
        ),
        "signed with the public key": (bearer(signed_with_the_public_key(issuer, fields)), 401),
        "cut": (bearer(good[:-20]), 401),
        "with a tail": (bearer(good + ".x"), 401),
        "not a token": (bearer("eyJhbGciOiJub25lIn0"), 401),
        "dots": (bearer("a.b.c"), 401),
        "a token that plays a key": (bearer(f"msk_{good}"), 401),
        "a key that plays a token": (bearer(f"{world.own_key}.{world.own_key}.x"), 401),
        "a wrong key": (bearer("msk_" + "x" * 12 + "_" + "y" * 32), 401),
        "a token with a wrong key": ([*_pairs(bearer(good)), ("X-API-Key", "msk_wrong")], 400),
        "two tokens": ([*_pairs(bearer(good)), *_pairs(bearer(world.token(world.shop)))], 400),
        "a token without a scope": (bearer(issuer.token(world.resource(world.bank))), 403),
        "a scope of its own making": (
            [*_pairs(bearer(other_key)), ("X-Memsys-Scope", "e30.e30")],
            200,  # a tool error: the header ends here, and the key has no such project
        ),
    }
    for name, (headers, status) in cases.items():
        answer = world.call(world.bank, headers)
        assert answer.status_code == status, f"{name}: {answer.status_code} {answer.text}"
        assert SECRET not in answer.text, name
        if status == 401:
            assert "resource_metadata=" in answer.headers["www-authenticate"], name
    for query in (f"access_token={good}", f"api_key={world.own_key}", f"key={world.own_key}"):
        url = f"{world.server.url}/p/{world.bank}/mcp?{query}"
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_memories"}}
        assert httpx.post(url, json=message, headers=ACCEPT).status_code == 401, (
            "credentials are read from headers alone"
        )
    assert SECRET in world.call(world.bank, bearer(good)).text, "while good ones do open it"


def test_tokens_are_written_nowhere(world: World) -> None:
    token = world.token(world.shop)
    assert world.call(world.shop, bearer(token), "add_memory", text="x").status_code == 200
    assert world.call(world.shop, bearer(world.token(world.shop, exp=1))).status_code == 401
    logged = world.server.logged()
    assert token not in logged
    assert token.split(".")[1] not in logged
    assert world.own_key not in logged


def test_a_key_of_the_caller_still_goes_on_as_it_is(world: World, admin: memsys.Client) -> None:
    key = admin.create_key("caller", projects=[world.bank]).key
    assert SECRET in world.call(world.bank, bearer(key)).text
    assert "does not allow this" in world.call(world.shop, bearer(key)).text


def test_a_new_key_of_the_issuer_is_accepted_after_it_was_published(world: World) -> None:
    world.issuer.rotate()  # before the first token: the server fetches the keys now
    assert world.call(world.shop, bearer(world.token(world.shop))).status_code == 200
    fetched = len(world.issuer.fetched)
    for _ in range(20):
        forged = world.token(world.shop, header={"kid": uuid.uuid4().hex})
        assert world.call(world.shop, bearer(forged)).status_code == 401
    assert len(world.issuer.fetched) == fetched, "invented keys are not looked for again at once"


def test_an_issuer_that_is_away_is_said_and_keys_still_work(world: World, admin: memsys.Client) -> None:
    world.issuer.away = True
    answer = world.call(world.shop, bearer(world.token(world.shop)))
    assert answer.status_code == 503
    assert "cannot be checked" in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) > 0
    key = admin.create_key("caller", projects=[world.shop]).key
    assert world.call(world.shop, bearer(key)).status_code == 200


def test_a_server_that_takes_keys_alone_passes_no_token_on(issuer: Issuer, real_mcp: Process) -> None:
    answer = httpx.post(f"{real_mcp.url}/p/shop/mcp", json={}, headers={**bearer(issuer.token("x")), **ACCEPT})
    assert answer.status_code == 401
    assert "takes API keys, not access tokens" in answer.json()["detail"]
    assert httpx.get(f"{real_mcp.url}/.well-known/oauth-protected-resource/mcp").status_code == 404


def test_anybody_may_call_only_where_the_setting_says_so_in_words(
    real_api: Process, admin: memsys.Client, start_mcp: StartMcp
) -> None:
    project = f"open-{uuid.uuid4().hex[:8]}"
    own = admin.create_key("mcp-server", projects=[project], rights=["read", "write", "admin"]).key
    server = start_mcp(real_api.url, MEMSYS_MCP_AUTH=ANYONE, MEMSYS_MCP_API_KEY=own)
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_memories", "arguments": {}}}

    def post(place: str, **headers: str) -> httpx.Response:
        return httpx.post(f"{server.url}/p/{place}/mcp", json=message, headers={**headers, **ACCEPT})

    assert not post(project).json()["result"].get("isError")
    assert post("elsewhere").json()["result"]["isError"]
    assert post(project, Authorization="Bearer msk_wrong").status_code == 401, "bad credentials are not no credentials"


class Memory:
    """Where a client keeps what it got: here, in memory."""

    def __init__(self) -> None:
        self.tokens: Any = None
        self.client: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.client

    async def set_client_info(self, client_info: Any) -> None:
        self.client = client_info


async def test_the_official_client_finds_its_way_from_the_refusal_to_a_token_and_in(
    issuer: Issuer, real_api: Process, admin: memsys.Client, tmp_path: Path
) -> None:
    project, port = f"shop-{uuid.uuid4().hex[:8]}", free_port()
    url = f"http://127.0.0.1:{port}/p/{project}/mcp"
    settings = {
        "MEMSYS_MCP_AUTH": "keys+oauth",
        "MEMSYS_MCP_API_KEY": admin.create_key("mcp-server", projects=[project]).key,
        "MEMSYS_MCP_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "MEMSYS_MCP_OAUTH_ISSUER": issuer.url,
    }
    back: dict[str, str] = {}

    async def browse(address: str) -> None:
        back.update(issuer.authorize(address))

    async def return_from_browser() -> AuthorizationCodeResult:
        return AuthorizationCodeResult(**back)

    storage = Memory()
    provider = OAuthClientProvider(
        url,
        OAuthClientMetadata(client_name="a client", redirect_uris=[AnyUrl("http://127.0.0.1:9/back")]),
        storage,
        browse,
        return_from_browser,
    )
    with python_module("memsys_mcp", tmp_path / "log", "/readyz", port, MEMSYS_API_URL=real_api.url, **settings):
        connection = httpx2.AsyncClient(auth=provider, timeout=30)
        async with mcp.Client(streamable_http_client(url, http_client=connection)) as client:
            stored = await Session(client).call("add_memory", text="The shop opens at nine.")
    assert stored.data["results"][0]["project"] == project, stored.text
    assert storage.tokens.scope.split() == [f"memsys:project:{project}:{right}" for right in ("read", "write")]
