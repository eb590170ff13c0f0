"""The course of one call, step by step, without a network."""

from __future__ import annotations

import json
import traceback

import httpx
import pytest

import memsys
from memsys import operations
from memsys.exchange import Attempt, Options, Outcome, Pause, Step, exchange
from memsys.operations import Call, Scope

INFO = json.dumps({"version": "1"}).encode()


class World:
    """Drives an exchange: each attempt takes the next outcome, and time passes as told."""

    def __init__(self, *outcomes: Outcome, attempt_seconds: float = 0.0) -> None:
        self.now = 0.0
        self.outcomes = list(outcomes)
        self.attempt_seconds = attempt_seconds
        self.steps: list[Step] = []
        self.breaker = memsys.CircuitBreaker(5, 5.0, lambda: self.now)

    def run(self, call: Call[object], options: Options | None = None) -> object:
        steps = exchange(
            call,
            options or Options(timeout=10, budget=30),
            policy=memsys.RetryPolicy(attempts=4, base=1.0, cap=8.0),
            breaker=self.breaker,
            clock=lambda: self.now,
            uniform=lambda low, high: high,
        )
        try:
            step = next(steps)
            while True:
                self.steps.append(step)
                if isinstance(step, Pause):
                    self.now += step.seconds
                    step = steps.send(None)
                else:
                    self.now += self.attempt_seconds
                    step = steps.send(self.outcomes.pop(0))
        except StopIteration as done:
            return done.value

    @property
    def attempts(self) -> int:
        return sum(isinstance(step, Attempt) for step in self.steps)

    @property
    def pauses(self) -> list[float]:
        return [step.seconds for step in self.steps if isinstance(step, Pause)]


def ok() -> httpx.Response:
    return httpx.Response(200, content=INFO)


def unsafe() -> Call[object]:
    return operations.create_key("k", projects=["p"], scope=operations.Scope())  # type: ignore[return-value]


def test_a_good_answer_is_read_and_nothing_more_happens():
    world = World(ok())
    assert world.run(operations.info()) == memsys.Info(version="1")
    assert world.steps == [Attempt(10)]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_tried_again_with_growing_pauses(status: int):
    world = World(httpx.Response(status), httpx.Response(status), ok())
    world.run(operations.info())
    assert world.pauses == [1.0, 2.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_what_will_not_pass_is_not_tried_again(status: int):
    world = World(httpx.Response(status))
    with pytest.raises(memsys.ProblemError):
        world.run(operations.info())
    assert world.attempts == 1


def test_a_call_that_must_not_happen_twice_is_sent_once():
    world = World(httpx.ReadTimeout("late"))
    with pytest.raises(memsys.Unreachable, match="no answer in time"):
        world.run(unsafe())
    assert world.attempts == 1


def test_even_such_a_call_is_tried_again_where_it_never_left():
    created = httpx.Response(200, json={"id": "i", "key": "msk_x"})
    world = World(httpx.ConnectError("refused"), created)
    assert isinstance(world.run(unsafe()), memsys.NewKey)
    assert world.attempts == 2


def test_an_add_is_safe_to_repeat_because_it_carries_its_key():
    call = operations.add("x", scope=Scope())
    assert call.repeatable
    assert len(call.headers["Idempotency-Key"]) == 32
    assert call.headers != operations.add("x", scope=Scope()).headers


@pytest.mark.parametrize("version", [None, 3])
def test_an_update_is_safe_to_repeat_because_it_carries_its_key(version: int | None):
    call = operations.update("1", text="x", version=version)
    assert call.repeatable
    assert len(call.headers["Idempotency-Key"]) == 32
    assert call.headers != operations.update("1", text="x", version=version).headers
    assert operations.update("1", text="x", idempotency_key="k1").headers == {"Idempotency-Key": "k1"}


def test_the_wish_of_the_service_is_honoured_and_not_waited_for_in_vain():
    soon = httpx.Response(503, headers={"Retry-After": "6"})
    world = World(soon, ok())
    world.run(operations.info())
    assert world.pauses == [6.0]

    late = httpx.Response(503, headers={"Retry-After": "60"})
    world = World(late)
    with pytest.raises(memsys.ServiceUnavailable) as caught:
        world.run(operations.info())
    assert world.pauses == []
    assert caught.value.retry_after == 60


def test_the_call_ends_within_its_budget():
    world = World(*[httpx.ReadTimeout("late")] * 4, attempt_seconds=2.0)
    with pytest.raises(memsys.Unreachable):
        world.run(operations.info(), Options(timeout=2, budget=5))
    assert world.now <= 5
    assert [step.timeout for step in world.steps if isinstance(step, Attempt)] == [2, 2]


def test_a_delete_whose_answer_was_lost_is_done():
    world = World(httpx.ReadError("cut"), httpx.Response(404))
    assert world.run(operations.delete("6f1c8b1e-0000-4000-8000-000000000000")) is None  # type: ignore[func-returns-value]

    world = World(httpx.Response(404))
    with pytest.raises(memsys.NotFound):
        world.run(operations.delete("6f1c8b1e-0000-4000-8000-000000000000"))


DELETE = [operations.delete("6f1c8b1e-0000-4000-8000-000000000000"), operations.delete_key("leaked-kye")]


@pytest.mark.parametrize("call", DELETE)
@pytest.mark.parametrize("before", [httpx.ConnectError("refused"), httpx.Response(429), httpx.Response(503)])
def test_a_delete_that_was_never_carried_out_before_does_not_pass_for_done(call: Call[object], before: Outcome):
    world = World(before, before, httpx.Response(404))
    with pytest.raises(memsys.NotFound):
        world.run(call)
    assert world.attempts == 3


@pytest.mark.parametrize("lost", [httpx.ReadTimeout("late"), TimeoutError(), httpx.Response(502), httpx.Response(504)])
def test_a_delete_that_may_have_been_carried_out_is_done_when_nothing_is_left(lost: Outcome):
    World(httpx.ConnectError("refused"), lost, httpx.Response(503), httpx.Response(404)).run(DELETE[0])


def test_an_open_circuit_is_not_asked_and_says_when():
    world = World(*[httpx.ConnectError("refused")] * 8)
    for _ in range(3):
        with pytest.raises(memsys.Unreachable):
            world.run(operations.info(), Options(timeout=1, budget=3))
    before = world.attempts
    with pytest.raises(memsys.CircuitOpen) as caught:
        world.run(operations.info())
    assert world.attempts == before
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 5


def test_errors_of_a_living_service_do_not_open_the_circuit():
    world = World(*[httpx.Response(503)] * 40)
    for _ in range(10):
        with pytest.raises(memsys.ServiceUnavailable):
            world.run(operations.info())
    assert not world.breaker.is_open


@pytest.mark.parametrize("kind", [httpx.LocalProtocolError, httpx.UnsupportedProtocol])
def test_what_could_never_be_sent_is_no_absence_and_quotes_nothing(kind: type[httpx.TransportError]):
    world = World(*[kind("Illegal header value b'Bearer msk_secret'")] * 10)
    for _ in range(10):
        with pytest.raises(memsys.Unsendable, match="GET /info") as caught:
            world.run(operations.info())
        assert not isinstance(caught.value, memsys.Unavailable)
        assert "msk_secret" not in "".join(traceback.format_exception(caught.value))
    assert world.attempts == 10, "and is not tried again"
    assert not world.breaker.is_open


def test_giving_up_an_attempt_says_nothing_about_the_service():
    world = World()
    for _ in range(10):
        steps = exchange(
            operations.info(), Options(), policy=memsys.RetryPolicy(), breaker=world.breaker, clock=lambda: 0.0
        )
        next(steps)
        steps.close()
    assert not world.breaker.is_open


def test_a_success_that_is_not_what_was_promised_is_named():
    world = World(httpx.Response(200, content=b'{"results": "?"}'))
    with pytest.raises(memsys.UnexpectedAnswer, match=r"POST /search: .*results"):
        world.run(operations.search("q", scope=Scope()))
