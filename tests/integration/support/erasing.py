"""Erasures, from asking for one to its receipt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .waiting import until

if TYPE_CHECKING:
    from ..conftest import Replica


async def erase(api: Replica, **scope: Any) -> dict[str, Any]:
    """Erase, and wait for the receipt."""
    answer = await api.client.post("/erasures", json=scope)
    assert answer.status_code in (200, 202), answer.text
    return await done(api, answer.json()["id"])


async def done(api: Replica, erasure_id: str) -> dict[str, Any]:
    """Wait for the receipt."""

    async def receipt() -> bool:
        return bool((await api.client.get(f"/erasures/{erasure_id}")).json()["state"] == "done")

    await until("the erasure is done", receipt)
    found: dict[str, Any] = (await api.client.get(f"/erasures/{erasure_id}")).json()
    return found
