"""What tests of webhooks ask of the API."""

from __future__ import annotations

from typing import Any

from ..conftest import Replica
from .waiting import until

LOOPBACK = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "WEBHOOK_RETRY_BASE_SECONDS": 0.01}


async def register(api: Replica, url: str, **fields: Any) -> dict[str, Any]:
    answer = await api.client.post("/webhooks", json={"url": url, **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def deliveries(api: Replica, webhook: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    answer = await api.client.get(f"/webhooks/{webhook['id']}/deliveries", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["results"])


async def in_state(api: Replica, webhook: dict[str, Any], state: str, count: int) -> None:
    async def so_many() -> bool:
        return len(await deliveries(api, webhook, state=state)) == count

    await until(f"{count} deliveries are {state}", so_many, 20)


async def replay(api: Replica, webhook: dict[str, Any], **what: Any) -> int:
    answer = await api.client.post(f"/webhooks/{webhook['id']}/replay", json=what)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["queued"])
