"""What cannot stand in a header is refused where it is given, by both clients, and never quoted."""

from __future__ import annotations

import traceback
from typing import Any

import httpx
import pytest

import memsys
from memsys.exchange import Options
from memsys.importing import mem0

URL = "http://127.0.0.1:9"
ANSWERS = httpx.MockTransport(lambda _: httpx.Response(200, json={"results": []}))
Kind = type[memsys.Client] | type[memsys.AsyncClient]
both = pytest.mark.parametrize("kind", [memsys.Client, memsys.AsyncClient])
WRONG = [
    "",
    " ",
    "secret\n",
    "secret ",
    "\tsecret",
    "sec ret",
    "secret\r\nX-Other: 1",
    "“secret”",
    "secret\x00",
    "sécret",
]


@both
@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", ["key", "project"])
def test_a_client_is_not_made_with_what_no_header_carries(kind: Kind, name: str, value: str):
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=rf"^{name} ") as caught:
        kind(URL, **arguments)
    assert "secret" not in str(caught.value)


@both
@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", ["key", "project", "request_id", "traceparent"])
def test_nor_given_it_for_some_calls(kind: Kind, name: str, value: str):
    with pytest.raises(ValueError, match=rf"^{name} ") as caught:
        kind(URL, "msk_good", transport=ANSWERS).with_options(**{name: value})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["secret\n", " secret", "“secret”", "secret\r\nX-Other: 1"])
async def test_an_idempotency_key_that_no_header_carries_is_refused(value: str):
    with memsys.Client(URL) as client, pytest.raises(ValueError, match=r"^Idempotency-Key ") as caught:
        client.add("x", idempotency_key=value)
    assert "secret" not in str(caught.value)
    async with memsys.AsyncClient(URL) as other:
        with pytest.raises(ValueError, match=r"^Idempotency-Key "):
            await other.add("x", idempotency_key=value)


def test_one_with_a_blank_inside_is_good():
    with memsys.Client(URL, transport=ANSWERS) as client:
        client.add("x", idempotency_key="import 7, line 3")


async def test_a_stream_that_could_never_be_sent_is_no_absence_and_quotes_nothing():
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.LocalProtocolError("Illegal header value b'Bearer msk_secret'")

    with memsys.Client(URL, transport=httpx.MockTransport(refuse)) as client:
        with pytest.raises(memsys.Unsendable, match="GET /export") as exported:
            list(client.export())
        with pytest.raises(memsys.Unsendable, match="POST /import") as imported:
            client.import_lines(b"{}")
    async with memsys.AsyncClient(URL, transport=httpx.MockTransport(refuse)) as other:
        with pytest.raises(memsys.Unsendable, match="GET /export") as exported_too:
            [chunk async for chunk in other.export()]
        with pytest.raises(memsys.Unsendable, match="POST /import") as imported_too:
            await other.import_lines(b"{}")
    for caught in (exported, imported, exported_too, imported_too):
        assert "msk_secret" not in "".join(traceback.format_exception(caught.value))


def test_the_key_of_a_mem0_server_is_held_to_the_same():
    with pytest.raises(ValueError, match=r"^the source's key ") as caught:
        list(mem0.server(URL, "secret\n", {"user_id": "u"}))
    assert "secret" not in str(caught.value)


def test_options_do_not_show_the_key():
    assert "msk_secret" not in repr(Options(key="msk_secret"))
