"""The graph sink on Amazon Neptune, through its openCypher endpoint. The only module that signs requests for AWS.

Protocol: https://docs.aws.amazon.com/neptune/latest/userguide/access-graph-opencypher-queries.html. Each request is one
transaction, so what Neo4j does in one takes several here. Any sequence of them may end early: the delivery is then
tried again and clears first what the memory has written (docs/decisions/0043).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, LiteralString
from urllib.parse import urlencode
from uuid import UUID

import httpx
import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.session import Session

from memsys_api.causes import cause, word
from memsys_api.model import Scope, SinkRecord
from memsys_api.ports import SinkRefused, SinkUnavailable
from memsys_api.sinks.graph import content, cypher, neptune_cypher, steps

CONNECT_SECONDS = 3.0
APPLY_SECONDS = 20.0
ASK_SECONDS = 5.0
_KEPT_CONNECTIONS = 20
SERVICE = "neptune-db"
HUB_MENTIONS = 50
_MENTIONS = 2_000
_NEAR = 20  # related entities that are followed from one

# Answers that say nothing of the statement: it may be carried out as it is, later.
_PASSING = frozenset(
    {
        "ConcurrentModificationException",
        "CancelledByUserException",
        "ConstraintViolationException",
        "InternalFailureException",
        "MemoryLimitExceededException",
        "QueryLimitExceededException",
        "ReadOnlyViolationException",
        "ServerShutdownException",
        "ThrottlingException",
        "TimeLimitExceededException",
        "TooManyRequestsException",
    }
)


class NeptuneError(SinkRefused):
    """Neptune refuses a statement as it is; the message names its code."""


class NeptuneSink:
    """The port :class:`memsys_api.ports.GraphSink` on Neptune. Making it opens no connection.

    ``region`` is ``None`` where IAM authentication is off; else requests are signed with the credentials that AWS's own
    chain finds: environment, web identity of a ServiceAccount, instance.
    """

    name = "graph"

    def __init__(self, endpoint: str, region: str | None, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = f"{endpoint.rstrip('/')}/openCypher"
        self._region = region
        self._torn: set[str] = set()
        """Projects of which an apply has broken off: entities may have been left that nothing holds."""
        self._session = Session() if region is not None else None
        timeout = httpx.Timeout(APPLY_SECONDS, connect=CONNECT_SECONDS)
        # Nobody waits within the pool: a request that is given up there takes a connection with it for good (0075).
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=_KEPT_CONNECTIONS)
        self._http = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False, transport=transport)

    async def prepare(self) -> None:
        """Neptune indexes every property by itself and has no constraints: there is only to see that it answers."""
        await self._run(cypher.PING)

    async def apply(self, records: Sequence[SinkRecord]) -> dict[UUID, str]:
        """Apply statement by statement. Raises :class:`NeptuneError` for a statement that Neptune refuses."""
        if due := content.newest(records):
            projects = sorted({record.project for record in due})
            await self._run(neptune_cypher.PROJECT, projects=projects)
            try:
                await steps.apply(self._run, due)
            except BaseException:
                self._torn.update(projects)
                raise
            for project in self._torn.intersection(projects):  # what was loosened then is not told again
                await self.sweep(project)
                self._torn.discard(project)
        return {}

    async def neighbours(self, scope: Scope, entity_keys: Sequence[str], limit: int) -> list[tuple[UUID, float]]:
        """See the port. The same weights as on Neo4j, made here: Neptune has no subqueries."""
        around = await self._run(
            neptune_cypher.NEIGHBOURS, project=scope.project, keys=list(entity_keys), hub=HUB_MENTIONS
        )
        weights: dict[str, float] = {}
        for row in around:
            share = 1.0 / (1.0 + math.log(1.0 + row["degree"]))
            for key, hop in [(row["key"], 1.0), *((other, 0.5) for other in sorted(row["others"])[:_NEAR])]:
                weights[key] = max(weights.get(key, 0.0), hop * share)
        if not weights:
            return []
        mentioned = await self._run(
            neptune_cypher.MENTIONING,
            project=scope.project,
            keys=sorted(weights),
            user_id=scope.user_id,
            agent_id=scope.agent_id,
            app_id=scope.app_id,
            run_id=scope.run_id,
            limit=_MENTIONS,
        )
        per_key: dict[str, int] = {}
        for row in mentioned:
            per_key[row["key"]] = per_key.get(row["key"], 0) + 1
        total: dict[str, float] = {}
        for row in mentioned:
            if per_key[row["key"]] <= HUB_MENTIONS:
                total[row["id"]] = total.get(row["id"], 0.0) + weights[row["key"]]
        said = {row["id"]: str(row["event_time"]) for row in mentioned}
        newest_first = sorted(sorted(total), key=lambda found: said[found], reverse=True)
        best = sorted(newest_first, key=lambda found: total[found], reverse=True)
        return [(UUID(found), 1.0 - math.exp(-total[found])) for found in best[:limit]]

    async def read(self, project: str, after: UUID | None, limit: int) -> list[tuple[UUID, int, str]]:
        return await steps.read(self._run, project, after, limit)

    async def versions(self, project: str, ids: Sequence[UUID]) -> dict[UUID, int]:
        return await steps.versions(self._run, project, ids)

    async def forget(self, project: str, ids: Sequence[UUID]) -> None:
        await steps.forget(self._run, project, ids)

    async def doubt_names(self, project: str, keys: Sequence[str]) -> None:
        await steps.doubt_names(self._run, project, keys)

    async def projects(self) -> list[str]:
        return [row["name"] for row in await self._run(cypher.PROJECTS)]

    async def strays(self, project: str) -> int:
        return await steps.strays(self._run, project)

    async def sweep(self, project: str) -> int:
        removed = 0
        while some := await steps.sweep_some(self._run, project):
            removed += some
        return removed

    async def holding(self, project: str, ids: Sequence[UUID]) -> int:
        return await steps.holding(self._run, project, ids)

    async def available(self) -> bool:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await self._run(cypher.PING)
        except (SinkUnavailable, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        await self._http.aclose()

    async def _run(self, statement: LiteralString, **parameters: Any) -> list[content.Row]:
        """Carry out one statement; its rows. Raises :class:`SinkUnavailable` and :class:`NeptuneError`."""
        text: str = statement
        if "limit" in parameters:  # Neptune takes LIMIT only as a number that stands in the statement
            text = text.replace("$limit", str(int(parameters.pop("limit"))))
        body = urlencode({"query": text, "parameters": orjson.dumps(_plain(parameters)).decode()})
        try:
            headers = await asyncio.to_thread(partial(self._headers, body))
            answer = await self._http.post(self._url, content=body, headers=headers)
        except BotoCoreError as error:
            raise SinkUnavailable(f"no AWS credentials for Neptune can be had: {cause(error)}") from error
        except httpx.HTTPError as error:
            raise SinkUnavailable(f"Neptune at {self._url} cannot be reached: {cause(error)}") from error
        if answer.status_code == httpx.codes.OK:
            return self._rows(answer)
        raise self._refusal(answer)

    def _headers(self, body: str) -> dict[str, str]:
        """The request's headers, signed (Signature Version 4) where IAM is on. May read files and ask AWS."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if self._session is None:
            return headers
        credentials = self._session.get_credentials()
        if credentials is None:
            raise SinkUnavailable("NEPTUNE_IAM is on and there are no AWS credentials; give the ServiceAccount a role")
        request = AWSRequest("POST", self._url, headers, body)
        SigV4Auth(credentials.get_frozen_credentials(), SERVICE, self._region).add_auth(request)
        return dict(request.headers.items())

    def _rows(self, answer: httpx.Response) -> list[content.Row]:
        try:
            rows: list[content.Row] = answer.json()["results"]
        except (ValueError, KeyError, TypeError) as error:
            raise SinkUnavailable(f"{self._url} answers with something else than openCypher results") from error
        return rows

    def _refusal(self, answer: httpx.Response) -> Exception:
        try:
            code = word(answer.json().get("code")) or ""
        except (ValueError, AttributeError):
            code = ""
        said = f"Neptune at {self._url} answers {answer.status_code} {code}".rstrip()
        if answer.status_code == httpx.codes.FORBIDDEN:
            return SinkUnavailable(
                f"{said}; the role needs neptune-db:connect, and NEPTUNE_IAM must be as the cluster's"
            )
        if code in _PASSING or answer.status_code in (429, 502, 503, 504) or (not code and answer.status_code >= 500):
            return SinkUnavailable(said)
        return NeptuneError(said)


def _plain(value: Any) -> Any:
    """A parameter as JSON has it; times as texts in UTC whose order is theirs."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return content.in_utc(value) if isinstance(value, datetime) else value
