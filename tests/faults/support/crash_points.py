"""Goes through the steps of operations and crashes at each, or at each of a part of them."""

from __future__ import annotations

import asyncio
import time

from .comparison import apart
from .operator_steps import Killed, Status, looks
from .rig import DATABASE
from .sweep import Sweep

LOOKS = 2
"""The operator's looks within which a difference is mended: the first finds it, the second mends it."""
_MOST_STEPS = 200


async def swept(running: Sweep, target: str, every: int = 1, only: str = "") -> list[str]:
    """Lose ``target`` at every ``every``-th step of every operation, or of those whose label begins with ``only``.

    What was wrong afterwards, a line each.
    """
    wrong = []
    for number, operation in enumerate(running.operations):
        steps = await running.steps(operation)
        assert len(steps) > 100, f"only {len(steps)} steps were heard of {operation}"
        steps = [step for step in steps if step.label.startswith(only)]
        # Each operation begins elsewhere, so that a part of the steps is not the same part for all; with the last step.
        chosen = {*steps[number % every :: every], steps[-1]}
        begun = time.monotonic()
        for step in (step for step in steps if step in chosen):
            found = await running.crash(operation, step, target)
            wrong += [f"{target} lost in {operation} before {step.label!r}: {one}" for one in found]
        seconds = time.monotonic() - begun
        print(f"  {target} lost at {len(chosen)} of {len(steps)} steps of {operation}, {seconds:.0f} s", flush=True)
    return wrong


async def operator_killed_at_each_step(running: Sweep) -> list[str]:
    """Kill the operator at each step of two looks that find and mend a graph changed by hand; the next one ends it."""
    wrong: list[str] = []
    status = Status()
    database = running.database.url("postgres", DATABASE)
    for dies_at in range(_MOST_STEPS):
        await running.forge()
        try:
            await looks(running.url, status, LOOKS, dies_at)
        except Killed:
            await looks(running.url, status, LOOKS)
        else:
            print(f"  the operator killed at each of {dies_at} steps")
            return wrong
        found = await asyncio.to_thread(apart, database, running.graph)
        wrong += [f"operator killed at step {dies_at}: {one}" for one in found]
    raise AssertionError(f"the operator's looks did not end within {_MOST_STEPS} steps")
