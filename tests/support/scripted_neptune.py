"""Amazon Neptune's openCypher endpoint on loopback, after AWS's public description, in front of a real Neo4j.

It checks what Neptune checks (method, path, content type, Signature Version 4 where IAM is on), refuses Cypher that
Neptune's documentation says it does not have, carries the statement out on Neo4j in a transaction of its own, and
answers in Neptune's JSON. ``fail`` has a request answered with an error instead, before or after it is carried out.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

import neo4j
from neo4j.exceptions import Neo4jError

ACCESS_KEY, SECRET_KEY, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-central-1"

# https://docs.aws.amazon.com/neptune/latest/userguide/feature-opencypher-compliance.html and migration-compatibility
NOT_IN_NEPTUNE = re.compile(
    r"\b(EXISTS|COUNT|COLLECT|CALL)\s*(\([^)]*\)\s*)?\{|\bCALL\b|\bapoc\.|\bdb\.|\b(CREATE|DROP|SHOW)\s+(CONSTRAINT|INDEX)"
    r"|\bIN TRANSACTIONS\b|shortestPath|elementId|\b(LIMIT|SKIP)\s+\$|\bFOREACH\b|\breduce\s*\(|=~|\bSET\s+\w+\s*\+?=",
    re.IGNORECASE,
)


@dataclass
class ScriptedNeptune:
    """A server for as long as the context lasts. ``iam`` off takes requests without a signature."""

    bolt: str
    auth: tuple[str, str]
    iam: bool = True
    calls: list[dict[str, Any]] = field(default_factory=list)
    failures: deque[tuple[int, str, bool] | None] = field(default_factory=deque)

    def fail(self, status: int, code: str, *, passing: int = 0, after: bool = False) -> None:
        """Let so many requests pass, and answer the next with this error; ``after``: though it was carried out."""
        self.failures.extend([None] * passing)
        self.failures.append((status, code, after))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._driver = neo4j.GraphDatabase.driver(
            self.bolt, auth=self.auth, notifications_min_severity=neo4j.NotificationMinimumSeverity.OFF
        )
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, answer = script._answer(self.path, dict(self.headers.items()), body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """The calls are kept."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._driver.close()

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        if path != "/openCypher":
            return _error(404, "BadRequestException", f"no such path: {path}")
        if headers.get("Content-Type") != "application/x-www-form-urlencoded":
            return _error(400, "BadRequestException", "the content type must be application/x-www-form-urlencoded")
        if self.iam and (why := _badly_signed(path, {k.lower(): v for k, v in headers.items()}, body)):
            return _error(403, "AccessDeniedException", why)
        form = parse_qs(body.decode(), strict_parsing=True)
        statement, parameters = form["query"][0], json.loads(form.get("parameters", ["{}"])[0])
        self.calls.append({"query": statement, "parameters": parameters})
        if found := NOT_IN_NEPTUNE.search(statement):
            return _error(400, "MalformedQueryException", f"not supported: {found[0]!r}")
        failure = self.failures.popleft() if self.failures else None
        if failure is not None and not failure[2]:
            return _error(failure[0], failure[1], "as scripted")
        try:
            with self._driver.session() as session:
                rows = session.execute_write(lambda tx: [row.data() for row in tx.run(statement, parameters)])
        except Neo4jError as error:
            return _error(400, "MalformedQueryException", str(error.message))
        if failure is not None:
            return _error(failure[0], failure[1], "as scripted, after it was carried out")
        return 200, {"results": rows}


def _error(status: int, code: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"requestId": "scripted", "code": code, "detailedMessage": message}


def _badly_signed(path: str, headers: dict[str, str], body: bytes) -> str | None:
    """Why the request's signature is not the one that its contents have; Signature Version 4, worked out anew."""
    form = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), "
        r"Signature=([0-9a-f]{64})",
        headers.get("authorization", ""),
    )
    if form is None:
        return "Missing Authentication Token"
    key, day, region, service, signed, signature = form.groups()
    if (key, region, service) != (ACCESS_KEY, REGION, "neptune-db"):
        return f"Credential should be scoped to a valid key, region and service, not {key}, {region}, {service}"
    if not {"host", "x-amz-date"} <= set(signed.split(";")):
        return "host and x-amz-date must be signed"
    canonical = "\n".join(
        [
            "POST",
            path,
            "",
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed.split(";")),
            "",
            signed,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    text = "\n".join(
        [
            "AWS4-HMAC-SHA256",
            headers["x-amz-date"],
            f"{day}/{region}/{service}/aws4_request",
            hashlib.sha256(canonical.encode()).hexdigest(),
        ]
    )
    secret = f"AWS4{SECRET_KEY}".encode()
    for part in (day, region, service, "aws4_request"):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    expected = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
    return None if hmac.compare_digest(expected, signature) else "The request signature does not match"
