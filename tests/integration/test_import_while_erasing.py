"""An import of what is being erased, while the erasure still waits for the graph."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from .conftest import Replica
from .support.erasing import done
from .support.graph_queue import settled
from .support.waiting import until


@pytest.mark.parametrize("erased", ["false", "true"])
async def test_the_erasure_comes_to_its_end_and_then_the_line_is_taken(graphed: Replica, erased: str) -> None:
    """For another user, whom the erasure does not mean: it is the same memory to the graph all the same."""
    sink = graphed.sink
    assert sink is not None
    [added] = await graphed.add("Anna paints", user_id="ann")
    await graphed.client.put(f"/memories/{added['id']}", json={"text": "Anna paints the sea"})
    await settled(graphed)
    line = {"id": added["id"], "memory": "Anna paints", "user_id": "bob"}
    lines = [{"format": "memsys-export", "version": 1, "heads": False}, line, {"end": True, "versions": 1}]

    async def bring() -> dict[str, Any]:
        content = "\n".join(map(json.dumps, lines))
        report: dict[str, Any] = (
            await graphed.client.post("/import", content=content, params={"erased": erased})
        ).json()
        return report

    sink.away = True
    erasure = (await graphed.client.post("/erasures", json={"user_id": "ann"})).json()["id"]

    async def waits_for_the_graph() -> bool:
        return bool((await graphed.client.get(f"/erasures/{erasure}")).json()["step"] == "sinks")

    await until("the erasure waits for the graph", waits_for_the_graph)
    report = await bring()
    assert (report["imported"], report["failed"]) == (0, 1)
    assert (report["errors"][0]["field"], erasure in report["errors"][0]["message"]) == ("id", True)
    sink.away = False
    await done(graphed, erasure)
    assert UUID(added["id"]) not in sink.live()
    assert (await bring())["imported"] == 1
