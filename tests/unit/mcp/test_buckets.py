"""Each client has a bucket of its own, in bounded memory."""

from __future__ import annotations

import pytest

from memsys_mcp import buckets
from memsys_mcp.buckets import PER_MINUTE, TokenBuckets, client_of


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_client_has_a_minute_s_worth_and_then_as_much_as_comes_in() -> None:
    clock = Clock()
    taken = TokenBuckets(clock)
    for _ in range(PER_MINUTE):
        assert taken.wait("192.0.2.1") == 0
        taken.take("192.0.2.1")
    assert taken.wait("192.0.2.1") == 60 / PER_MINUTE
    assert taken.wait("192.0.2.2") == 0
    clock.now += 60 / PER_MINUTE
    assert taken.wait("192.0.2.1") == 0
    clock.now += 3600
    for _ in range(PER_MINUTE):
        taken.take("192.0.2.1")
    assert taken.wait("192.0.2.1") > 0, "no more than a minute's worth is saved up"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "x" * 10_000, True),
    ],
)
def test_an_ipv6_client_is_its_network(one: str, other: str, same: bool) -> None:
    assert (client_of(one) == client_of(other)) == same


def test_memory_is_bounded_and_the_last_to_take_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "REMEMBERED", 5)
    monkeypatch.setattr(buckets, "PER_MINUTE", 1)
    taken = TokenBuckets(Clock())
    for n in range(7):
        taken.take(f"192.0.2.{n}")
    assert len(taken._left) == 5
    assert taken.wait("192.0.2.0") == 0
    assert taken.wait("192.0.2.6") > 0
