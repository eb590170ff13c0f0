"""What of a replica's memories is on its way to the graph."""

from __future__ import annotations

from ..conftest import Replica
from .waiting import until


async def status(api: Replica, headers: dict[str, str] | None = None) -> dict[str, object]:
    """What the replica says of the graph and its queue."""
    said: dict[str, object] = (await api.client.get("/graph/status", headers=headers)).json()
    return said


async def settled(api: Replica, pending: int = 0, parked: int = 0, *, headers: dict[str, str] | None = None) -> None:
    """Wait until so much is pending and parked, and no more."""

    async def as_expected() -> bool:
        said = await status(api, headers)
        return (said["pending"], said["parked"]) == (pending, parked)

    await until(f"{pending} pending and {parked} parked", as_expected)
