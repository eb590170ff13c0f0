import memsys
from memsys.errors import problem
from memsys_mcp import access
from memsys_mcp.access import Access
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


async def test_a_good_key_is_asked_for_once_a_minute():
    clock, api = Clock(), Api(None, None)
    checked = Access(api, clock)
    for _ in range(5):
        assert await checked.admits(KEY)
    assert len(api.outcomes) == 1
    clock.now += access.GOOD_FOR_SECONDS
    assert await checked.admits(KEY)
    assert api.outcomes == []


async def test_a_bad_key_is_refused_each_time_and_good_as_soon_as_the_api_says_so():
    checked = Access(Api(problem(401, b""), problem(401, b""), None))
    assert not await checked.admits(KEY)
    assert not await checked.admits(KEY)
    assert await checked.admits(KEY)


async def test_a_key_that_may_only_write_is_a_good_key():
    api = Api(problem(403, b""))
    checked = Access(api)
    assert await checked.admits(KEY)
    assert await checked.admits(KEY)


async def test_while_the_api_is_away_nobody_waits_for_the_check_twice():
    clock, api = Clock(), Api(memsys.Unreachable("away"), problem(401, b""))
    checked = Access(api, clock)
    assert await checked.admits(KEY)
    assert await checked.admits("msk_other")
    assert len(api.outcomes) == 1
    clock.now += access.SKIP_SECONDS
    assert not await checked.admits(KEY)


def test_recent_values_expire_and_make_room():
    clock = Clock()
    recent: Recent[int] = Recent(10.0, 2, clock)
    for number, name in enumerate(("a", "b", "c")):
        recent.put(name, number)
    assert [recent.get(name) for name in ("a", "b", "c")] == [None, 1, 2]
    clock.now += 10
    assert recent.get("c") is None
