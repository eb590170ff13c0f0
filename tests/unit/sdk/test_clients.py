"""Both clients over real connections to a server on loopback that answers what a test tells it to."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import sys
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import memsys

FAST = memsys.RetryPolicy(attempts=4, base=0.001, cap=0.01)
Answer = tuple[int, Any, dict[str, str]]
INFO: Answer = (200, {"version": "1"}, {})


@dataclass
class Script:
    """What to answer, in turn (the last one for ever), and what was asked."""

    answers: list[Answer] = field(default_factory=lambda: [INFO])
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    peers: set[tuple[str, int]] = field(default_factory=set)
    silent: threading.Event = field(default_factory=threading.Event)
    trickles: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.asked.append((self.command, self.path, headers, body))
            script.peers.add(self.client_address)
            if script.silent.is_set():
                time.sleep(1.0)
            status, document, extra = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            content = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {**extra, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if script.trickles.is_set():
                for place in range(len(content)):
                    time.sleep(0.1)
                    self.wfile.write(content[place : place + 1])
                return
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that did not wait for its answer is what some tests are about, and no news."""
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(request, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield script
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


Do = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def do(request: pytest.FixtureRequest, script: Script) -> Do:
    """Make one client and call methods of it: ``await do(("info",), key="k")`` gives the results."""

    async def run(*calls: tuple[Any, ...], options: dict[str, Any] | None = None, **arguments: Any) -> list[Any]:
        arguments = {"key": "k", "retry": FAST, **arguments}
        url = arguments.pop("url", script.url)
        if request.param == "sync":
            with memsys.Client(url, **arguments) as client:
                used = client.with_options(**(options or {}))
                return [getattr(used, name)(*rest) for name, *rest in calls]
        async with memsys.AsyncClient(url, **arguments) as client:
            used = client.with_options(**(options or {}))
            return [await getattr(used, name)(*rest) for name, *rest in calls]

    return run


async def test_a_call_carries_key_project_and_request_id(do: Do, script: Script):
    await do(("info",), key="msk_1", project="shop", options={"request_id": "req-1"})
    method, path, headers, _ = script.asked[0]
    assert (method, path) == ("GET", "/info")
    assert headers["authorization"] == "Bearer msk_1"
    assert headers["x-memsys-project"] == "shop"
    assert headers["x-request-id"] == "req-1"
    assert headers["user-agent"] == f"memsys-python/{memsys.__version__}"


async def test_a_caller_s_own_key_replaces_the_client_s_for_its_calls_only(do: Do, script: Script):
    await do(("info",), key="mine", options={"key": "theirs", "project": "p"})
    await do(("info",), key="mine")
    assert [asked[2]["authorization"] for asked in script.asked] == ["Bearer theirs", "Bearer mine"]
    assert "x-memsys-project" not in script.asked[1][2]


async def test_calls_with_a_breaker_of_their_own_do_not_open_the_others_circuit(do: Do, script: Script):
    shared, own = memsys.CircuitBreaker(1), memsys.CircuitBreaker(1)
    with pytest.raises(memsys.Unreachable):
        await do(("info",), url="http://127.0.0.1:9", breaker=shared, options={"breaker": own})
    assert own.is_open
    assert not shared.is_open


async def test_connections_are_pooled(do: Do, script: Script):
    await do(*[("info",)] * 10)
    assert len(script.asked) == 10
    assert len(script.peers) == 1


async def test_an_add_is_repeated_under_one_idempotency_key_and_request_id(do: Do, script: Script):
    script.answers = [(503, {}, {}), (429, {}, {}), (200, {"results": []}, {})]
    await do(("add", "hello"))
    assert [asked[:2] for asked in script.asked] == [("POST", "/memories")] * 3
    for header in ("idempotency-key", "x-request-id"):
        values = {asked[2][header] for asked in script.asked}
        assert len(values) == 1
        assert re.fullmatch("[0-9a-f]{32}", values.pop())
    assert len({asked[3] for asked in script.asked}) == 1


async def test_a_problem_arrives_as_its_exception(do: Do, script: Script):
    document = {"title": "Invalid request", "errors": [{"field": "query", "message": "must not be empty"}]}
    script.answers = [(422, document, {"X-Request-ID": "r7"})]
    with pytest.raises(memsys.Invalid) as caught:
        await do(("search", ""))
    assert caught.value.errors[0].field == "query"
    assert caught.value.request_id == "r7"


async def test_a_service_that_does_not_answer_is_given_up_in_time(do: Do, script: Script):
    script.silent.set()
    began = time.monotonic()
    with pytest.raises(memsys.Unreachable, match="no answer in time"):
        await do(("info",), timeout=0.2, budget=0.3)
    assert time.monotonic() - began < 1.0


async def test_an_answer_that_comes_in_a_trickle_is_given_up_in_time(do: Do, script: Script):
    script.trickles.set()
    began = time.monotonic()
    with pytest.raises(memsys.Unreachable, match="no answer in time"):
        await do(("info",), timeout=0.2, budget=0.3)
    assert time.monotonic() - began < 1.0


async def test_a_service_that_is_not_there_is_unreachable(do: Do, script: Script):
    with pytest.raises(memsys.Unreachable, match="GET /info"):
        await do(("info",), url="http://127.0.0.1:9")


async def test_answers_become_typed_values(do: Do, script: Script):
    found = {
        "id": "6f1c8b1e-0000-4000-8000-000000000000",
        "memory": "Ana prefers tabs",
        "metadata": {},
        "event_time": "2026-05-03T10:00:00Z",
        "version": 2,
        "score": 0.8,
        "source": ["vector", "graph"],
        "something_new": True,
    }
    script.answers = [(200, {"results": [found]}, {})]
    [answer] = await do(("search", "tabs"))
    assert answer.results[0].memory == "Ana prefers tabs"
    assert answer.results[0].source == ("vector", "graph")
    assert answer.results[0].event_time.year == 2026


async def test_an_answer_that_is_not_encoded_as_it_says_is_named_and_not_asked_for_again(do: Do, script: Script):
    script.answers = [(200, {"version": "1"}, {"Content-Encoding": "gzip"})]
    with pytest.raises(memsys.UnexpectedAnswer, match="GET /info: the answer is not encoded"):
        await do(("info",))
    with pytest.raises(memsys.UnexpectedAnswer, match="POST /import"):
        await do(("import_lines", b"{}"))
    assert len(script.asked) == 2
    with memsys.Client(script.url) as client, pytest.raises(memsys.UnexpectedAnswer, match="GET /export"):
        list(client.export())
    async with memsys.AsyncClient(script.url) as other:
        with pytest.raises(memsys.UnexpectedAnswer, match="GET /export"):
            [chunk async for chunk in other.export()]


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x", "http://"])
def test_an_address_that_is_none_is_refused_with_an_example(url: str):
    with pytest.raises(ValueError, match=r"give one like http://127\.0\.0\.1:8000"):
        memsys.Client(url)


def test_a_key_just_made_does_not_show_its_secret():
    assert "secret" not in repr(memsys.NewKey(id="i", key="msk_secret"))


def test_both_clients_offer_the_same():
    def methods(kind: type) -> dict[str, inspect.Signature]:
        functions = inspect.getmembers(kind, inspect.isfunction)
        return {name: inspect.signature(function) for name, function in functions if not name.startswith("_")}

    assert methods(memsys.Client) == methods(memsys.AsyncClient)
    assert len(methods(memsys.Client)) == 57


async def test_an_export_arrives_in_pieces_and_a_refusal_as_its_exception(script: Script):
    script.answers = [(200, {"format": "memsys-export"}, {})]
    with memsys.Client(script.url, key="k") as client:
        assert json.loads(b"".join(client.export(heads=True))) == {"format": "memsys-export"}
    assert script.asked[0][:2] == ("GET", "/export?heads=true")
    script.answers = [(403, {"detail": "no"}, {})]
    async with memsys.AsyncClient(script.url, key="k") as other:
        with pytest.raises(memsys.Forbidden, match="no"):
            [chunk async for chunk in other.export()]


async def test_exports_and_imports_reach_no_further_than_the_delegation(script: Script):
    ann = memsys.Delegation("ann", ("shop",), ("read",), user_id="ann")
    script.answers = [(200, {"imported": 0, "unchanged": 0, "failed": 0, "complete": True}, {})]
    with memsys.Client(script.url, key="msk_server") as client:
        narrowed = client.with_options(delegation=ann)
        list(narrowed.export())
        narrowed.import_lines(b"{}\n")
    async with memsys.AsyncClient(script.url, key="msk_server") as other:
        also_narrowed = other.with_options(delegation=ann)
        [chunk async for chunk in also_narrowed.export()]
        await also_narrowed.import_lines(b"{}\n")
    assert [asked[1] for asked in script.asked] == ["/export", "/import"] * 2
    for _, path, headers, _ in script.asked:
        payload = headers["x-memsys-scope"].partition(".")[0]
        scope = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        assert (scope["user_id"], scope["rights"]) == ("ann", ["read"]), path


def test_an_export_is_signed_when_it_is_read(script: Script, monkeypatch: pytest.MonkeyPatch):
    ann = memsys.Delegation("ann", ("shop",), ("read",))
    with memsys.Client(script.url, key="msk_server") as client:
        chunks = client.with_options(delegation=ann).export()
        later = time.time() + 3600
        monkeypatch.setattr(time, "time", lambda: later)
        list(chunks)
    assert script.asked[0][2]["x-memsys-scope"] == ann.sign("msk_server", later)


async def test_an_import_sends_lines_and_reads_the_report(script: Script):
    report = {"imported": 1, "unchanged": 2, "failed": 1, "complete": True, "errors": [{"line": 3, "message": "x"}]}
    script.answers = [(200, report, {})]
    with memsys.Client(script.url, key="k") as client:
        assert client.import_lines(b"{}\n").errors[0].line == 3
    async with memsys.AsyncClient(script.url, key="k") as other:
        assert (await other.import_lines(b"{}\n")).unchanged == 2
    assert [(asked[0], asked[1], asked[3]) for asked in script.asked] == [("POST", "/import", b"{}\n")] * 2
    assert {asked[2]["content-type"] for asked in script.asked} == {"application/x-ndjson"}
    with pytest.raises(memsys.Unreachable, match="POST /import"), memsys.Client("http://127.0.0.1:9") as away:
        away.import_lines(b"{}")


async def test_what_follows_an_add_is_asked_for_and_read_the_same_by_both(do: Do, script: Script):
    identity = "6f1e2d3c-0000-4000-8000-000000000001"
    event = {"id": identity, "status": "PENDING", "results": []}
    hook = {"id": identity, "url": "https://example.com/", "secret": "whsec_x"}
    change = {"id": "1-a-1-2-3", "event": "added", "memory_id": identity, "version": 1}
    script.answers = [
        (202, event, {}),
        (201, hook, {}),
        (200, {"queued": 2, "go_on_after": 7}, {}),
        (200, {"queued": 1, "go_on_after": None}, {}),
        (200, {"results": [change], "next": "1-a-1-2-3", "more": False}, {}),
    ]
    submitted, made, queued, page = await do(
        ("submit", {"text": "x", "user_id": "u"}),
        ("create_webhook", "https://example.com/"),
        ("replay_webhook", identity),
        ("changes", "earliest"),
    )
    assert submitted.status == "PENDING"
    assert made.secret == "whsec_x"
    assert "whsec_x" not in repr(made)
    assert queued == 3
    assert (page.results[0].event, page.next) == ("added", "1-a-1-2-3")
    assert json.loads(script.asked[0][3]) == {"text": "x", "user_id": "u", "wait": False}
    assert script.asked[0][2]["idempotency-key"]
    again = f"/webhooks/{identity}/replay"
    assert [asked[1] for asked in script.asked[2:]] == [again, again, "/changes?since=earliest"]
    assert json.loads(script.asked[3][3]) == {"after_event_id": 7}


async def test_what_is_said_of_a_memory_and_made_of_many_is_asked_for_by_both(do: Do, script: Script):
    identity = "6f1e2d3c-0000-4000-8000-000000000001"
    word = {"memory_id": identity, "feedback": "NEGATIVE", "feedback_reason": "she moved", "version": 2}
    said = {"id": identity, "message": "Feedback recorded", "feedback": None, "feedback_reason": None}
    script.answers = [
        (200, said, {}),
        (200, said, {}),
        (200, word, {}),
        (202, {"id": identity, "message": "x"}, {}),
        (200, {"city": "Lisbon"}, {}),
    ]
    *_, found, export_id, shaped = await do(
        ("give_feedback", identity, "NEGATIVE"),
        ("withdraw_feedback", identity),
        ("feedback", identity),
        ("ask_for_shaped_export", {"type": "object"}),
        ("shaped_export", identity),
    )
    assert (found.feedback, found.feedback_reason, found.version) == ("NEGATIVE", "she moved", 2)
    assert "she moved" not in repr(found)
    assert (str(export_id), shaped) == (identity, {"city": "Lisbon"})
    assert [(method, path) for method, path, _, _ in script.asked] == [
        ("POST", "/v1/feedback/"),
        ("POST", "/v1/feedback/"),
        ("GET", f"/memories/{identity}/feedback"),
        ("POST", "/v1/exports/"),
        ("POST", "/v1/exports/get/"),
    ]
    assert [json.loads(body) for *_, body in script.asked if body] == [
        {"memory_id": identity, "feedback": "NEGATIVE"},
        {"memory_id": identity},
        {"schema": {"type": "object"}},
        {"memory_export_id": identity},
    ]


@pytest.mark.parametrize(
    ("status", "slug", "kind"),
    [(409, "export-waits", memsys.ExportWaits), (502, "export-failed", memsys.ExportFailed)],
)
async def test_an_export_that_is_not_there_says_whether_it_ever_will_be(
    do: Do, script: Script, status: int, slug: str, kind: type[memsys.ProblemError]
):
    script.answers = [(status, {"type": f"https://memsys.dev/problems/{slug}"}, {"Retry-After": "2"})]
    with pytest.raises(kind) as caught:
        await do(("shaped_export", "6f1e2d3c-0000-4000-8000-000000000001"))
    assert (caught.value.retry_after, len(script.asked)) == (2.0, 1)


@pytest.mark.parametrize("heeded", [True, False])
async def test_a_proxy_of_the_environment_sees_no_key_where_it_is_not_to_be_heeded(
    script: Script, heeded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script answers a proxy's requests too: they name the whole address."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, script.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    proxied = "http://m-api.invalid"
    quick = memsys.RetryPolicy(attempts=1)
    client = memsys.Client(proxied, "k", retry=quick, environment_proxies=heeded)
    with client, contextlib.suppress(memsys.Unavailable):
        client.info()
    other = memsys.AsyncClient(proxied, "k", retry=quick, environment_proxies=heeded)
    async with other:
        with contextlib.suppress(memsys.Unavailable):
            await other.info()
    assert len(script.asked) == (2 if heeded else 0)
