"""The operator's calls to a system's own API about keys. It opens no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from memsys_operator.answers import detail, refused, silent
from memsys_operator.errors import OperatorError, Rejected, Waiting
from memsys_operator.paths import segment

_TIMEOUT_SECONDS = 10.0
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a system's API is, the key that may do everything there, and whether ServiceAccounts' tokens count."""

    url: str
    admin_key: str
    reviews_tokens: bool = False


class KeysAPI:
    """Calls to the APIs of all systems over one connection pool.

    Every method raises :class:`Waiting` when the API does not answer or cannot now, and :class:`Rejected` with what
    it says when it refuses what it was asked.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        headers = {"User-Agent": "memsys-operator"}
        self._http = httpx.AsyncClient(headers=headers, trust_env=False, transport=transport, timeout=_TIMEOUT_SECONDS)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def live(self, endpoint: Endpoint) -> dict[str, dict[str, Any]]:
        """The API's account of every key that is not revoked, by id."""
        answer = await self._ask("GET", endpoint, "/keys")
        try:
            return {key["id"]: key for key in answer.json()}
        except (ValueError, TypeError, KeyError) as error:
            raise Waiting("APIUnreadable", f"{endpoint.url}/keys answers something else than keys") from error

    async def declare(self, endpoint: Endpoint, key_id: str, declaration: Mapping[str, Any]) -> None:
        """Make a key be exactly this, whether or not it is there."""
        await self._ask("PUT", endpoint, f"/keys/{segment(key_id)}", declaration)

    async def revoke(self, endpoint: Endpoint, key_id: str) -> None:
        """End a key for good; one that has ended already is as good."""
        await self._ask("DELETE", endpoint, f"/keys/{segment(key_id)}")

    async def _ask(
        self, method: str, endpoint: Endpoint, path: str, body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {endpoint.admin_key}"}
        try:
            answer = await self._http.request(method, f"{endpoint.url}{path}", headers=headers, json=body)
        except httpx.HTTPError as error:
            raise Waiting("APIUnavailable", silent(endpoint.url, error)) from error
        if answer.is_success or (method == "DELETE" and answer.status_code == _NOT_FOUND):
            return answer
        raise _refusal(answer)


def _refusal(answer: httpx.Response) -> OperatorError:
    if answer.status_code in (400, 403, 409, 422):
        return Rejected(
            f"the API refuses the key: {detail(answer) or f'status {answer.status_code}'}", reason="Refused"
        )
    return Waiting("APIUnavailable", refused(answer))
