from __future__ import annotations

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
