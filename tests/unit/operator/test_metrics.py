"""What the gauges of a system show, as it is scraped."""

from __future__ import annotations

from typing import Any

from prometheus_client import generate_latest

from memsys_operator import metrics

PARKED: dict[str, Any] = {"pending": 1, "parked": 5, "drifted": 2}


def shown(system: str) -> list[str]:
    """The samples of one system."""
    return [line for line in generate_latest().decode().splitlines() if f'name="{system}"' in line]


def test_numbers_of_a_graph_that_was_switched_off_are_shown_no_more() -> None:
    ready = [{"type": "Ready", "status": "True"}]
    metrics.record_status("n", "switched-off", {"conditions": ready, "sync": PARKED})
    assert 'memsys_system_graph_parked{name="switched-off",namespace="n"} 5.0' in shown("switched-off")
    metrics.record_status("n", "switched-off", {"conditions": ready})
    assert not [line for line in shown("switched-off") if line.startswith("memsys_system_graph")]
    assert [line for line in shown("switched-off") if line.startswith("memsys_system_condition")]


def test_nothing_is_shown_of_a_system_that_is_gone() -> None:
    metrics.record_status("n", "gone", {"conditions": [{"type": "Ready", "status": "True"}], "sync": PARKED})
    metrics.forget("n", "gone")
    assert shown("gone") == []
