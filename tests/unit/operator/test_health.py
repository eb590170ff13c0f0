from __future__ import annotations

import pytest
from aiohttp.test_utils import TestClient, TestServer

from memsys_operator import health, metrics


async def get(path: str, alive: str | None = None, ready: str | None = None) -> tuple[int, str, str]:
    app = health.application(lambda: alive, lambda: ready)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get(path)
        return answer.status, answer.content_type, await answer.text()


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_all_well_is_200(path: str) -> None:
    assert (await get(path))[0] == 200


async def test_alive_and_ready_are_told_apart_and_the_trouble_is_named() -> None:
    assert (await get("/healthz", ready="no resync"))[0] == 200
    status, kind, text = await get("/readyz", ready="no resync")
    assert (status, kind) == (503, "application/problem+json")
    assert "no resync" in text
    assert (await get("/healthz", alive="stuck"))[0] == 503


async def test_metrics_show_conditions_and_forget_what_is_gone() -> None:
    status: dict[str, object] = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "sync": {"pending": 2, "parked": 1, "drifted": 4},
    }
    metrics.record_status("n", "seen", status)
    text = (await get("/metrics"))[2]
    assert 'memsys_system_condition{name="seen",namespace="n",status="True",type="Ready"} 1.0' in text
    assert 'memsys_system_condition{name="seen",namespace="n",status="False",type="Ready"} 0.0' in text
    assert 'memsys_system_graph_parked{name="seen",namespace="n"} 1.0' in text
    assert 'memsys_system_graph_drifted{name="seen",namespace="n"} 4.0' in text
    metrics.forget("n", "seen")
    assert 'name="seen"' not in (await get("/metrics"))[2]


async def test_a_condition_that_no_longer_applies_is_no_longer_shown() -> None:
    exposed = {"type": "Exposed", "status": "False"}
    metrics.record_status("n", "once", {"conditions": [{"type": "Ready", "status": "True"}, exposed]})
    assert 'type="Exposed"' in (await get("/metrics"))[2]
    metrics.record_status("n", "once", {"conditions": [{"type": "Ready", "status": "True"}]})
    assert 'type="Exposed"' not in (await get("/metrics"))[2]
    metrics.forget("n", "once")
