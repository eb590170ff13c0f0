import asyncio

import pytest

import memsys
from memsys.errors import problem
from memsys_mcp import access, buckets
from memsys_mcp.access import Access, TooManyWrongKeys
from memsys_mcp.recent import Recent


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Api(memsys.AsyncClient):
    """Answers each question for /info with the next outcome, and counts the questions."""

    def __init__(self, *outcomes: memsys.MemsysError | None) -> None:
        super().__init__("http://127.0.0.1:9")
        self.outcomes = list(outcomes)

    async def info(self) -> memsys.Info:
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return memsys.Info(version="1")


KEY = "msk_x"
HOME = "192.0.2.1"
STRANGER = "203.0.113.7"


async def test_a_good_key_is_asked_for_once_a_minute():
    clock, api = Clock(), Api(None, None)
    checked = Access(api, clock)
    for _ in range(5):
        assert await checked.admits(KEY, HOME)
    assert len(api.outcomes) == 1
    clock.now += access.GOOD_FOR_SECONDS
    assert await checked.admits(KEY, HOME)
    assert api.outcomes == []


async def test_a_bad_key_is_refused_each_time_and_good_as_soon_as_the_api_says_so():
    checked = Access(Api(problem(401, b""), problem(401, b""), None))
    assert not await checked.admits(KEY, HOME)
    assert not await checked.admits(KEY, HOME)
    assert await checked.admits(KEY, HOME)


async def test_a_key_that_may_only_write_is_a_good_key():
    api = Api(problem(403, b""))
    checked = Access(api)
    assert await checked.admits(KEY, HOME)
    assert await checked.admits(KEY, HOME)


async def test_while_the_api_is_away_nobody_waits_for_the_check_twice():
    clock, api = Clock(), Api(memsys.Unreachable("away"), problem(401, b""))
    checked = Access(api, clock)
    assert await checked.admits(KEY, HOME)
    assert await checked.admits("msk_other", HOME)
    assert len(api.outcomes) == 1
    clock.now += access.SKIP_SECONDS
    assert not await checked.admits(KEY, HOME)


async def test_who_tries_wrong_keys_waits_and_holds_up_nobody_else():
    clock = Clock()
    wrong = [problem(401, b"") for _ in range(buckets.PER_MINUTE)]
    api = Api(None, *wrong, None, None, problem(401, b""))
    checked = Access(api, clock)
    assert await checked.admits(KEY, STRANGER)
    clock.now += access.GOOD_FOR_SECONDS
    for number in range(buckets.PER_MINUTE):
        assert not await checked.admits(f"msk_{number}", STRANGER)
    with pytest.raises(TooManyWrongKeys) as refused:
        await checked.admits("msk_wrong", STRANGER)
    assert 0 < refused.value.retry_after <= 1
    assert len(api.outcomes) == 3, "the API is not asked"
    assert await checked.admits(KEY, STRANGER), "a key that was good lately is asked for all the same"
    assert await checked.admits("msk_y", HOME)
    clock.now += 1
    assert not await checked.admits("msk_wrong", STRANGER)


async def test_wrong_keys_that_come_at_once_hardly_exceed_what_may_be_tried():
    class Slow(Api):
        async def info(self) -> memsys.Info:
            await asyncio.sleep(0)
            return await super().info()

    api = Slow(*(problem(401, b"") for _ in range(1000)))
    checked = Access(api, Clock())
    await asyncio.gather(*(checked.admits(f"msk_{n}", STRANGER) for n in range(1000)), return_exceptions=True)
    assert 1000 - len(api.outcomes) <= buckets.PER_MINUTE + access.MAX_CHECKS


async def test_who_brings_many_unknown_keys_has_them_checked_also_after_an_answer_that_did_not_come():
    clock = Clock()
    checked = Access(Api(memsys.Unreachable("slow"), problem(401, b""), memsys.Unreachable("away")), clock)
    for number in range(1 + buckets.PER_MINUTE):
        assert await checked.admits(f"msk_{number}", STRANGER)
    assert not await checked.admits("msk_wrong", STRANGER)
    assert await checked.admits("msk_y", HOME), "others do not wait for the check"
    assert await checked.admits("msk_wrong", STRANGER), "and while it is away, tools say so"


async def test_where_the_api_does_not_say_whether_a_key_is_good_only_known_ones_pass():
    clock, limited = Clock(), problem(429, b"", retry_after=7)
    checked = Access(Api(None, limited, limited, problem(401, b"")), clock)
    assert await checked.admits(KEY, HOME)
    clock.now += access.GOOD_FOR_SECONDS
    with pytest.raises(TooManyWrongKeys) as refused:
        await checked.admits("msk_other", HOME)
    assert refused.value.retry_after == 7
    assert await checked.admits(KEY, HOME)
    assert not await checked.admits("msk_other", HOME), "a limit is not the API's absence"


def test_recent_values_expire_and_make_room():
    clock = Clock()
    recent: Recent[int] = Recent(10.0, 2, clock)
    for number, name in enumerate(("a", "b", "c")):
        recent.put(name, number)
    assert [recent.get(name) for name in ("a", "b", "c")] == [None, 1, 2]
    clock.now += 10
    assert recent.get("c") is None
