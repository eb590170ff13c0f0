from __future__ import annotations

import asyncio

import pytest

from memsys_api.recent import Recent


class _Lookup:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails = False

    async def __call__(self, key: str) -> int:
        self.asked.append(key)
        if self.fails:
            raise ConnectionError
        return len(self.asked)


async def test_it_looks_up_once_while_fresh() -> None:
    lookup = _Lookup()
    recent = Recent(lookup, seconds=60, size=10)
    assert [await recent.get("a"), await recent.get("a"), await recent.get("b")] == [1, 1, 2]


async def test_it_looks_again_when_stale_or_told_to() -> None:
    lookup = _Lookup()
    stale = Recent(lookup, seconds=0, size=10)
    assert [await stale.get("a"), await stale.get("a")] == [1, 2]
    recent = Recent(lookup, seconds=60, size=10)
    await recent.get("a")
    recent.forget("a")
    assert await recent.get("a") == 4


async def test_it_keeps_the_newest_of_so_many() -> None:
    lookup = _Lookup()
    recent = Recent(lookup, seconds=60, size=2)
    for key in "abcbc":
        await recent.get(key)
    assert lookup.asked == ["a", "b", "c"]
    await recent.get("a")
    assert lookup.asked == ["a", "b", "c", "a"]


async def test_a_failure_is_not_remembered() -> None:
    lookup = _Lookup()
    lookup.fails = True
    recent = Recent(lookup, seconds=60, size=2)
    with pytest.raises(ConnectionError):
        await recent.get("a")
    lookup.fails = False
    assert await recent.get("a") == 2


async def test_within_its_grace_a_value_is_given_while_it_is_looked_up_once_beside() -> None:
    asked, answers, answered = 0, asyncio.Event(), asyncio.Event()

    async def look_up(_: str) -> int:
        nonlocal asked
        asked += 1
        if asked > 1:
            await answers.wait()
            answered.set()
        return asked

    recent = Recent(look_up, seconds=0, size=10, grace=60)
    async with asyncio.timeout(5):
        assert [await recent.get("a") for _ in range(4)] == [1, 1, 1, 1]
        answers.set()
        await answered.wait()
        assert await recent.get("a") == 2


async def test_what_cannot_be_looked_up_again_stands_meanwhile_and_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked, answered = 0, asyncio.Event()

    async def look_up(_: str) -> int:
        nonlocal asked
        asked += 1
        if asked > 1:
            answered.set()
        if asked == 2:
            raise ConnectionError
        return asked

    recent = Recent(look_up, seconds=0, size=10, grace=60)
    async with asyncio.timeout(5):
        assert [await recent.get("a"), await recent.get("a")] == [1, 1]
        await answered.wait()
        assert "could not be looked up again" in caplog.text
        answered.clear()
        assert await recent.get("a") == 1
        await answered.wait()
        assert await recent.get("a") == 3
