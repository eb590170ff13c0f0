"""A model server on loopback that says what a test tells it to, in the protocols of OpenAI, Ollama, Anthropic,
Gemini and Bedrock.

It answers over real sockets to the vendors' real clients: chat completions and embeddings. It can be slow, drip its
answer, hang up, rate-limit, fail, and lie. Every request is kept in ``calls``. A path that is not of the protocols, and
above all Ollama's ``/api/pull`` (a download), is answered 404 and kept in ``refused``.

    with ScriptedLLM() as llm:
        llm.say('{"memory": []}')                       # the next answer; after the last one: {"memory": []}
        llm.queue(Reply(status=429, headers={"retry-after": "7"}))
        OpenAI(base_url=llm.openai_url, api_key="any")
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from tests.support.scripted_clouds import (
    bedrock_converse,
    bedrock_error,
    bedrock_titan,
    gemini_content,
    gemini_embeddings,
    gemini_error,
)

NOTHING = '{"memory": []}'


@dataclass(frozen=True)
class Call:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def system(self) -> str:
        """The system prompt, wherever the protocol puts it."""
        said = self.body.get("system") or self.body.get("systemInstruction")
        if said is None:
            first = self.body["messages"][0]
            said = first["content"] if first["role"] == "system" else ""
        return _text(said)

    @property
    def user(self) -> str:
        """The last message."""
        last = (self.body.get("messages") or self.body["contents"])[-1]
        return _text(last.get("content") or last)


@dataclass(frozen=True)
class Reply:
    """One answer. ``error`` is the text of a failure; ``delay`` and ``drip`` (per byte) are seconds."""

    text: str = NOTHING
    status: int = 200
    error: str = "scripted failure"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0
    hang_up: bool = False
    finish: str = "stop"
    tokens: tuple[int, int] | None = (100, 20)
    raw: str | None = None  # the whole body instead of one of the protocol


class ScriptedLLM:
    """The server, in threads of its own. ``answer``, if set, makes the reply of every call that none is queued for."""

    def __init__(self, *, models: tuple[str, ...] = ("llama3.1", "nomic-embed-text"), dimensions: int = 8) -> None:
        self.models = models
        self.dimensions = dimensions
        self.calls: list[Call] = []
        self.refused: list[str] = []
        self.answer: Callable[[Call], Reply] | None = None
        self._queued: deque[Reply] = deque()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="scripted-llm")

    def __enter__(self) -> ScriptedLLM:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Refuse connections from now on, as a dead provider does, and let slow answers end."""
        if not self._closing.is_set():
            self._closing.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    def queue(self, *replies: Reply) -> None:
        self._queued.extend(replies)

    def say(self, *texts: str) -> None:
        self.queue(*(Reply(text) for text in texts))

    @staticmethod
    def vectors(texts: str | list[str], dimensions: int) -> list[list[float]]:
        """The same text gives the same vector, of numbers between -1 and 1."""
        return [
            [byte / 127.5 - 1 for byte in hashlib.shake_256(text.encode()).digest(dimensions)]
            for text in ([texts] if isinstance(texts, str) else texts)
        ]

    def reply_to(self, call: Call) -> Reply:
        self.calls.append(call)
        if self._queued:
            return self._queued.popleft()
        return self.answer(call) if self.answer else Reply()

    def wait(self, seconds: float) -> None:
        self._closing.wait(seconds)


def _handler(llm: ScriptedLLM) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/api/tags":
                self._send(200, json.dumps({"models": [{"model": name, "name": name} for name in llm.models]}))
            elif self.path == "/v1/models":
                self._send(200, json.dumps({"data": [{"id": name, "object": "model"} for name in llm.models]}))
            else:
                self._refuse()

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
            protocol = _protocol_of(self.path)
            if protocol is None:
                return self._refuse()
            success, failure = protocol
            call = Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            reply = llm.reply_to(call)
            llm.wait(reply.delay)
            if reply.hang_up:
                self.close_connection = True
                return None
            body_text = reply.raw
            if body_text is None:
                wire = failure(reply) if reply.status >= 400 else success(llm, call.body, reply)
                body_text = json.dumps(wire)
            self._send(reply.status, body_text, reply.headers, drip=reply.drip)
            return None

        def _refuse(self) -> None:
            llm.refused.append(self.path)
            self._send(404, json.dumps({"error": f"no {self.path} here"}))

        def _send(self, status: int, text: str, headers: dict[str, str] | None = None, *, drip: float = 0.0) -> None:
            content = text.encode("utf-8", "surrogatepass")
            try:
                self.send_response(status)
                for name, value in {"content-type": "application/json", **(headers or {})}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                for byte in content if drip else ():
                    llm.wait(drip)
                    self.wfile.write(bytes([byte]))
                if not drip:
                    self.wfile.write(content)
            except OSError:  # the client has gone: what a test of slow answers is about
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Be silent: the calls are kept."""

    return Handler


def _openai_chat(llm: ScriptedLLM, body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": body.get("model"),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": reply.text},
                "finish_reason": reply.finish,
            }
        ],
    }
    if reply.tokens:
        sent, answered = reply.tokens
        answer["usage"] = {"prompt_tokens": sent, "completion_tokens": answered, "total_tokens": sent + answered}
    return answer


def _openai_embeddings(llm: ScriptedLLM, body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    vectors = llm.vectors(body["input"], body.get("dimensions") or llm.dimensions)
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return {
        "object": "list",
        "data": data,
        "model": body.get("model"),
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    }


def _ollama_chat(llm: ScriptedLLM, body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    answer = {
        "model": body.get("model"),
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": reply.text},
        "done": True,
        "done_reason": reply.finish,
    }
    if reply.tokens:
        answer |= {"prompt_eval_count": reply.tokens[0], "eval_count": reply.tokens[1]}
    return answer


def _ollama_embed(llm: ScriptedLLM, body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    return {"model": body.get("model"), "embeddings": llm.vectors(body["input"], llm.dimensions)}


def _anthropic_messages(llm: ScriptedLLM, body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    sent, answered = reply.tokens or (0, 0)
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "content": [{"type": "text", "text": reply.text}],
        "stop_reason": {"stop": "end_turn", "length": "max_tokens"}[reply.finish],
        "stop_sequence": None,
        "usage": {"input_tokens": sent, "output_tokens": answered},
    }


def _openai_error(reply: Reply) -> dict[str, Any]:
    return {"error": {"message": reply.error, "type": "scripted", "param": None, "code": None}}


def _ollama_error(reply: Reply) -> dict[str, Any]:
    return {"error": reply.error}


def _anthropic_error(reply: Reply) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "scripted", "message": reply.error}}


def _text(said: Any) -> str:
    """The text of a prompt's part: a string, or blocks of Gemini's or Bedrock's."""
    if isinstance(said, dict):
        said = said.get("parts") or [said]
    return said if isinstance(said, str) else "".join(block["text"] for block in said)


Success = Callable[[ScriptedLLM, dict[str, Any], Reply], dict[str, Any]]
Protocol = tuple[Success, Callable[[Reply], dict[str, Any]]]
PROTOCOLS: dict[str, Protocol] = {
    r"(/openai)?/v1/chat/completions": (_openai_chat, _openai_error),  # Groq's begins with /openai
    r"/v1/embeddings": (_openai_embeddings, _openai_error),
    r"/api/chat": (_ollama_chat, _ollama_error),
    r"/api/embed": (_ollama_embed, _ollama_error),
    r"/v1/messages": (_anthropic_messages, _anthropic_error),
    r"/v1(beta)?/models/[^/]+:generateContent": (gemini_content, gemini_error),
    r"/v1(beta)?/models/[^/]+:batchEmbedContents": (gemini_embeddings, gemini_error),
    r"/model/[^/]+/converse": (bedrock_converse, bedrock_error),
    r"/model/amazon\.titan-embed[^/]*/invoke": (bedrock_titan, bedrock_error),
}


def _protocol_of(path: str) -> Protocol | None:
    path = unquote(path.partition("?")[0])
    return next((protocol for pattern, protocol in PROTOCOLS.items() if re.fullmatch(pattern, path)), None)
