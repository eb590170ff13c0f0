"""When passes happen: woken, serialised, bounded, backed off."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from memsys_operator import controller, metrics
from memsys_operator.cluster import ClusterError
from memsys_operator.errors import Waiting
from memsys_operator.reconcile import GraphTarget, Outcome
from memsys_operator.settings import Settings
from memsys_operator.spec import Ref
from memsys_operator.sync import Drift, SyncReport, Walk

A, B = Ref("n", "a"), Ref("n", "b")


class World:
    """Cluster, reconciler and memory API in one; records the passes."""

    def __init__(self) -> None:
        self.systems_there: list[Ref] = []
        self.refused: dict[str, int] = {}
        self.passes: list[Ref] = []
        self.running = 0
        self.most_running = 0
        self.same_twice = False
        self.outcome: Callable[[Ref], Outcome] = lambda _: Outcome()
        self.hold = asyncio.Event()
        self.hold.set()
        self.syncs: list[SyncReport | None] = []
        self.report = SyncReport(available=True)
        self.walks: list[Walk] = []
        self._active: set[Ref] = set()

    async def systems(self, namespace: str | None) -> list[dict[str, Any]]:
        if namespace in self.refused:
            status = self.refused[namespace]
            raise ClusterError(status, f"GET {namespace}: {status} no")
        there = [ref for ref in self.systems_there if namespace in (None, ref.namespace)]
        return [{"metadata": {"namespace": ref.namespace, "name": ref.name}} for ref in there]

    async def run(self, ref: Ref, sync: SyncReport | None) -> Outcome:
        self.same_twice |= ref in self._active
        self._active.add(ref)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.syncs.append(sync)
        try:
            await self.hold.wait()
            await asyncio.sleep(0)
            self.passes.append(ref)
            return self.outcome(ref)
        finally:
            self.running -= 1
            self._active.discard(ref)

    async def check_graph(
        self, url: str, admin_key: str, last: SyncReport | None, walk: Walk, *, now: int, interval: int
    ) -> SyncReport:
        self.walks.append(walk)
        return self.report


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(controller, "_COALESCE_SECONDS", 0.01)
    monkeypatch.setattr(controller, "_AGAIN_SECONDS", 0.01)
    return World()


@contextlib.asynccontextmanager
async def controlling(world: World, **settings: Any) -> AsyncIterator[controller.Controller]:
    chosen = Settings(**{"resync_seconds": 3600.0, **settings})
    made = controller.Controller(world, world, world, chosen)  # type: ignore[arg-type]
    running = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    try:
        yield made
    finally:
        await made.stop()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def until(what: str, look: Callable[[], bool]) -> None:
    for _ in range(1000):
        if look():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"not within 5 s: {what}")


async def test_the_resync_looks_at_every_system_again_and_again(world: World) -> None:
    world.systems_there = [A, B]
    async with controlling(world, resync_seconds=0.02):
        await until("three passes over both", lambda: min(world.passes.count(A), world.passes.count(B)) >= 3)


async def test_a_burst_of_events_is_one_pass_and_an_event_during_it_one_more(world: World) -> None:
    async with controlling(world) as made:
        world.hold.clear()
        for _ in range(50):
            made.wake(A)
        await until("the pass has begun", lambda: world.running == 1)
        for _ in range(50):
            made.wake(A)
        world.hold.set()
        await until("two passes", lambda: len(world.passes) == 2)
        made.wake(B)  # waits as long as a third pass would, which began to wait before
        await until("a pass over the other", lambda: B in world.passes)
        assert world.passes == [A, A, B]
        assert not world.same_twice


async def test_no_more_passes_at_once_than_workers(world: World) -> None:
    async with controlling(world, workers=3) as made:
        world.hold.clear()
        for index in range(20):
            made.wake(Ref("n", f"s{index}"))
        await until("three passes have begun", lambda: world.running == 3)
        world.hold.set()
        await until("all passes", lambda: len(world.passes) == 20)
        assert world.most_running == 3


async def test_a_failed_pass_is_tried_again_and_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "_backoff", lambda failures: 0.02)
    failures = iter([RuntimeError("bug"), Waiting("Conflict", "slower")])

    def outcome(ref: Ref) -> Outcome:
        error = next(failures, None) if ref == A else None
        if error is not None:
            raise error
        return Outcome()

    world.outcome = outcome
    async with controlling(world) as made:
        made.wake(A)
        made.wake(B)
        await until("the third try of a", lambda: world.passes.count(A) == 3)
        assert B in world.passes
        assert made.stuck() is None


async def test_an_edited_spec_does_not_wait_for_the_next_try_of_the_one_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "_backoff", lambda failures: 3600.0)
    world.outcome = lambda _: Outcome(failure=Waiting("Refused", "a limit below the request"))
    async with controlling(world) as made:
        made.wake(A, controller.Edit("uid-of-a", 1))
        await until("the first try", lambda: world.passes == [A])
        made.wake(A, controller.Edit("uid-of-a", 1))  # the status was written
        made.wake(B)
        await until("the other system", lambda: B in world.passes)
        assert world.passes.count(A) == 1
        made.wake(A, controller.Edit("uid-of-a", 2))
        await until("the second try", lambda: world.passes.count(A) == 2)


async def test_what_failed_in_a_pass_is_tried_again_and_its_graph_is_asked_nevertheless(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "_backoff", lambda failures: 0.02)
    target = GraphTarget("http://a", "key", 3600, 3600)
    world.outcome = lambda _: Outcome(graph=target, failure=Waiting("APIServerError", "a quota"))
    async with controlling(world) as made:
        made.wake(A)
        await until("the third try", lambda: len(world.passes) >= 3)
        assert len(world.walks) == 1


async def test_what_was_changed_is_looked_at_again_but_a_tug_of_war_is_slowed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowed: list[int] = []

    def backoff(failures: int) -> float:
        slowed.append(failures)
        return 0.0

    monkeypatch.setattr(controller, "_backoff", backoff)
    world.outcome = lambda _: Outcome(again=len(world.passes) < controller._PATIENCE + 3)
    async with controlling(world) as made:
        made.wake(A)
        await until("the last look", lambda: len(world.passes) == controller._PATIENCE + 3)
    assert slowed == [1, 2]


async def test_a_system_that_is_gone_is_forgotten_and_can_come_again(world: World) -> None:
    world.outcome = lambda _: Outcome(gone=True)
    async with controlling(world) as made:
        made.wake(A)
        await until("forgotten", lambda: bool(world.passes) and not made._states)
        world.outcome = lambda _: Outcome()
        made.wake(A)
        await until("back", lambda: len(world.passes) == 2)


async def test_the_graph_is_asked_and_news_of_it_wake_the_system(world: World) -> None:
    target = GraphTarget("http://a", "key", 3600, 3600)
    world.outcome = lambda _: Outcome(graph=target)
    async with controlling(world) as made:
        made.wake(A)
        await until("a pass that knows the report", lambda: world.syncs[-1:] == [world.report])
        assert world.syncs[0] is None
        world.outcome = lambda _: Outcome(graph=None)
        made.wake(A)
        await until("asked no more", lambda: made._states[A].watcher is None)


async def test_what_was_known_of_a_graph_ends_when_it_is_switched_off(world: World) -> None:
    target = GraphTarget("http://a", "key", 3600, 3600)
    world.report = SyncReport(available=True, walk=Walk(finished=1))
    world.outcome = lambda _: Outcome(graph=target, walk=Walk(finished=1))
    async with controlling(world) as made:
        made.wake(A)
        await until("a pass that knows the report", lambda: world.syncs[-1:] == [world.report])
        world.outcome = lambda _: Outcome(graphless=True)
        made.wake(A)
        await until("a pass without the graph", lambda: made._states[A].watcher is None)
        world.outcome = lambda _: Outcome(graph=target)
        passes = len(world.syncs)
        made.wake(A)
        await until("asked again", lambda: len(world.walks) == 2)
        assert world.syncs[passes] is None
        assert world.walks[-1] == Walk()


async def test_a_stop_ends_passes_where_they_stand_and_lets_none_begin(world: World) -> None:
    async with controlling(world) as made:
        world.hold.clear()
        made.wake(A)
        await until("the pass has begun", lambda: world.running == 1)
        await made.stop()
        assert world.running == 0
        made.wake(B)
        assert B not in made._states
        assert "has been stopped" in (made.stuck() or "")
    assert world.passes == []


async def test_a_stop_ends_the_resync_too(world: World) -> None:
    async with controlling(world, resync_seconds=0.01) as made:
        await until("a resync", lambda: made.trouble() is None)
        await made.stop()
        resynced = made._resynced
        await asyncio.sleep(0.05)
        assert made._resynced == resynced


async def test_trouble_is_told_until_the_first_resync_and_when_it_is_late(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = controller.Controller(world, world, world, Settings(resync_seconds=10))  # type: ignore[arg-type]
    assert "no resync has succeeded" in (made.trouble() or "")
    await made._resync()
    assert made.trouble() is None
    now = controller.time.monotonic()
    monkeypatch.setattr(controller.time, "monotonic", lambda: now + 61)
    assert "the last resync was 61 s ago" in (made.trouble() or "")


HERE, THERE = Ref("here", "a"), Ref("there", "b")


@pytest.mark.parametrize("status", [403, 404])
async def test_a_namespace_that_cannot_be_listed_keeps_no_other_from_being_looked_at(
    world: World, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level("INFO", logger="memsys_operator")
    world.systems_there = [HERE, THERE]
    async with controlling(world, resync_seconds=0.02, watch_namespaces=("here", "there")) as made:
        await until("passes over both", lambda: {HERE, THERE} <= set(world.passes))
        world.refused = {"there": status}
        await until("the one is left", lambda: THERE not in made._states)
        world.passes.clear()
        await until("more passes over the other", lambda: world.passes.count(HERE) >= 5)
        assert THERE not in world.passes
        assert made.trouble() is made.stuck() is None
        assert metrics.SKIPPED._value.get() == 1
        told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert len(told) == 1, "once, and not at each resync"
        assert f"namespace there is passed over: GET there: {status} no" in told[0]
        world.refused = {}
        await until("its return is noticed", lambda: THERE in world.passes)
        assert "namespace there is listed again" in caplog.text
        assert metrics.SKIPPED._value.get() == 0


async def test_why_a_namespace_is_passed_over_is_told_anew_when_it_changes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.systems_there = [HERE]
    world.refused = {"there": 404}
    async with controlling(world, resync_seconds=0.02, watch_namespaces=("here", "there")):
        await until("passes", lambda: len(world.passes) >= 2)
        world.refused = {"there": 403}
        world.passes.clear()
        await until("passes", lambda: len(world.passes) >= 2)
    assert [record.getMessage().split(": ", 1)[1] for record in caplog.records] == [
        "GET there: 404 no", "GET there: 403 no",
    ]  # fmt: skip


@pytest.mark.parametrize("refused", [{"here": 403, "there": 404}, {"there": 503}, {"there": 0}])
async def test_nothing_was_resynced_while_no_namespace_can_be_listed_or_the_apiserver_fails(
    world: World, refused: dict[str, int]
) -> None:
    world.refused = refused
    async with controlling(world, watch_namespaces=("here", "there")) as made:
        await asyncio.sleep(0.05)
        assert "no resync has succeeded" in (made.trouble() or "")


def test_waits_grow_and_end_at_a_minute() -> None:
    assert all(1 <= controller._backoff(1) <= 2 for _ in range(100))
    assert all(30 <= controller._backoff(50) <= 60 for _ in range(100))


async def test_the_comparison_goes_on_where_the_status_says_and_then_where_the_last_look_left_it(world: World) -> None:
    target = GraphTarget("http://a", "key", 0, 3600)
    world.outcome = lambda _: Outcome(graph=target, walk=Walk("p/1"))
    world.report = SyncReport(available=True, drift=Drift(), walk=Walk("p/2"))
    async with controlling(world) as made:
        made.wake(A)
        await until("looks", lambda: len(world.walks) >= 3)
        assert [walk.cursor for walk in world.walks[:3]] == ["p/1", "p/2", "p/2"]
