"""A memory API played by a script, for an operator that asks one."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class ScriptedAPI:
    """Plays the graph and key endpoints of a memory API: answers what it is told and keeps what it was asked."""

    answer: dict[str, Any] = field(default_factory=dict)
    synced: threading.Event = field(default_factory=threading.Event)
    keys: set[str] = field(default_factory=set)
    #: What was declared of each API key that is not revoked, by id.
    declared: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: What the answer becomes when a sync is driven.
    after_sync: dict[str, Any] | None = None
    #: Memories of project ``p`` that the graph holds otherwise than PostgreSQL, until each is applied again.
    wrong: set[str] = field(default_factory=set)
    #: While set, applying a memory again changes nothing.
    stubborn: bool = False

    def reset(self) -> None:
        """A graph that has everything, and nothing asked yet."""
        self.answer = {"available": True, "pending": 0, "parked": 0, "lag_seconds": 0}
        self.after_sync = None
        self.wrong.clear()
        self.stubborn = False
        self.synced.clear()
        self.keys.clear()
        self.declared.clear()

    def accepts(self, key: str) -> bool:
        """Whether a key would open the API."""
        _, declared, secret = key.split("_")
        secrets = self.declared.get(declared, {}).get("secrets", ())
        return hashlib.sha256(secret.encode()).hexdigest() in [s["sha256"] for s in secrets]

    def listed(self) -> list[dict[str, Any]]:
        return [
            {
                **key,
                "id": declared,
                "secrets": [{"fingerprint": s["sha256"][:12], "expires_at": s["expires_at"]} for s in key["secrets"]],
            }
            for declared, key in list(self.declared.items())
        ]

    def drift(self) -> dict[str, Any]:
        samples = [{"project": "p", "memory_id": one, "kind": "stale"} for one in sorted(self.wrong)]
        return {
            "checked": 9, "missing": 0, "stale": len(samples), "unexpected": 0, "strays": 0, "complete": True,
            "cursor": None, "samples": samples,
        }  # fmt: skip

    @contextmanager
    def serving(self) -> Iterator[int]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                if script.after_sync is not None:
                    script.answer = script.after_sync
                if not script.stubborn and self.headers.get("X-Memsys-Project") == "p":
                    script.wrong.discard(self.path.partition("memory_id=")[2])
                script.synced.set()
                self._answer()

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                script.declared[self.path.rpartition("/")[2]] = json.loads(body)
                self._answer()

            def do_DELETE(self) -> None:
                script.declared.pop(self.path.rpartition("/")[2], None)
                self._answer()

            def _answer(self) -> None:
                script.keys.add(self.headers.get("Authorization", ""))
                answer: Any = script.answer
                if self.path.startswith("/graph/drift"):
                    answer = script.drift()
                elif self.path.startswith("/keys"):
                    answer = script.listed()
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Silence: the test reads what was asked from the script."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
