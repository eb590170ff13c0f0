"""Goes through the steps of operations and crashes at each, or at each of a part of them."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

from .operator_steps import Killed, Status, looks
from .sweep import FIRST_ADD, Sweep
from .tap import Step

LOOKS = 2
"""The operator's looks within which a difference is mended: the first finds it, the second mends it."""
WHOLE = 2
"""So many operations in a row that meet no new step end the search for more."""
_MOST_STEPS = 1000


def every_step(step: Step) -> bool:
    return True


def of_the_graph(step: Step) -> bool:
    return step.label.startswith("neo4j ")


def one_in(share: int, seed: str) -> Callable[[Step], bool]:
    """A part of all steps, the same for the same seed, whichever come up."""
    return lambda step: random.Random(f"{seed}/{step}").randrange(share) == 0


async def swept(
    running: Sweep,
    target: str,
    wanted: Callable[[Step], bool] = every_step,
    whole: int = WHOLE,
    seconds: float = math.inf,
) -> tuple[int, list[str]]:
    """Lose ``target`` at every wanted step of every operation: how many those are, and what was wrong, a line each.

    An operation has an equal part of the ``seconds`` that are left; when it is over, no further step is looked for.

    No two runs of an operation say the very same: deliveries meet in batches, and what was broken off is tried again.
    So steps are not listed beforehand. Each run is broken off at the first step at which none was before, until an
    operation comes to its end without one.
    """
    total, wrong = 0, []
    ends = time.monotonic() + seconds
    for left, operation in zip(range(len(running.operations), 0, -1), running.operations, strict=True):
        crashed: set[Step] = set()
        begun, undisturbed = time.monotonic(), 0
        over = begun + max(0.0, ends - begun) / left

        # To PostgreSQL a replica says no more with its first add than with any; but it prepares the graph before.
        here = of_the_graph if operation == FIRST_ADD else every_step

        def is_new(step: Step, crashed: set[Step] = crashed, here: Callable[[Step], bool] = here) -> bool:
            return step not in crashed and here(step) and wanted(step)

        while undisturbed < whole and not (crashed and time.monotonic() > over):
            crash = await running.crash(operation, target, is_new)
            if crash is None:
                undisturbed += 1
                continue
            undisturbed = 0
            crashed.add(crash.step)
            assert len(crashed) < _MOST_STEPS, f"{operation} goes on to take new steps, now {crash.step}"
            for one in crash.wrong:
                wrong.append(f"{target} lost in {operation} before {crash.step}: {one}")
                print(f"  {wrong[-1]}", flush=True)
        taken, end = time.monotonic() - begun, "" if undisturbed == whole else ", when time was up"
        print(f"  {target} lost at {len(crashed)} steps of {operation}, {taken:.0f} s{end}", flush=True)
        total += len(crashed)
    return total, wrong


async def operator_killed_at_each_step(running: Sweep, first: int = 0, every: int = 1) -> list[str]:
    """Kill the operator at each step of two looks that find and mend a graph changed by hand; the next one ends it.

    Or at a part of the steps: at ``every`` n-th from the ``first`` on.
    """
    wrong: list[str] = []
    status = Status()
    for dies_at in range(first, _MOST_STEPS, every):
        await running.forge()
        try:
            await looks(running.url, status, LOOKS, dies_at)
        except Killed:
            await looks(running.url, status, LOOKS)
        else:
            print(f"  the operator killed at {len(range(first, dies_at, every))} steps", flush=True)
            return wrong
        wrong += [f"operator killed at step {dies_at}: {one}" for one in await running.wrong()]
    raise AssertionError(f"the operator's looks did not end within {_MOST_STEPS} steps")
