"""MemoryKeys: no interruption leaves a key that nobody knows or nobody can use."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
import pytest

from memsys_operator import names
from memsys_operator.cluster import ClusterError, Refused
from memsys_operator.errors import Waiting
from memsys_operator.keys import issue as issues
from memsys_operator.keys.api import Endpoint, KeysAPI
from memsys_operator.keys.spec import key_id, parse
from memsys_operator.keys.steward import Steward
from memsys_operator.observed import Manifest, secret_values
from memsys_operator.plan import Apply
from memsys_operator.spec import Ref

from .support import memory_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SYSTEM = Ref("n", "m")
ENDPOINT = Endpoint("http://api.test", "admin")
SERVICES = {"api": "http://m-api.n.svc:8000"}


class Died(BaseException):
    """The process ends here."""


class World:
    """A cluster and an API held in memory; dies before or after the writes that it is told to."""

    def __init__(self, *objects: Manifest) -> None:
        self.objects = {obj["metadata"]["name"]: obj for obj in objects}
        self.secrets: dict[str, Manifest] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.writes: list[str] = []
        self.dies_at: tuple[int, bool] | None = None
        self.refuses: httpx.Response | None = None
        self.away = False
        self.inadmissible: set[str] = set()
        made = count()
        self.steward = Steward(self, KeysAPI(httpx.MockTransport(self._answer)), lambda: f"{next(made):032d}")  # type: ignore[arg-type]

    async def run(self) -> ClusterError | None:
        return await self.steward.run(SYSTEM, ENDPOINT, "", SERVICES)

    def status(self, name: str = "k") -> dict[str, Any]:
        found: dict[str, Any] = self.objects[name]["status"]
        return found

    def ready(self, name: str = "k") -> dict[str, Any]:
        found: dict[str, Any] = next(c for c in self.status(name)["conditions"] if c["type"] == "Ready")
        return found

    def value(self, name: str = "k") -> str:
        return secret_values(self.secrets[name])["key"]

    def opens(self, value: str) -> bool:
        """Whether the API accepts a key."""
        _, declared, secret = value.split("_")
        accepted = [s["sha256"] for s in self.keys.get(declared, {}).get("secrets", ())]
        return hashlib.sha256(secret.encode()).hexdigest() in accepted

    # what the steward sees of the cluster

    async def memory_keys(self, ref: Ref) -> list[Manifest]:
        return copy.deepcopy([o for o in self.objects.values() if o["spec"]["systemRef"]["name"] == ref.name])

    async def secret(self, namespace: str, name: str) -> Manifest | None:
        return copy.deepcopy(self.secrets.get(name))

    async def rehearse(self, namespace: str, action: Apply) -> None:
        if action.manifest["metadata"]["name"] in self.inadmissible:
            raise Refused(ClusterError(403, "exceeded quota: secrets"), "Secret", action.manifest["metadata"]["name"])

    async def execute(self, namespace: str, action: Apply) -> None:
        await self.rehearse(namespace, action)
        name = action.manifest["metadata"]["name"]
        self._write(f"Secret {name}", lambda: self.secrets.update({name: action.manifest}))

    async def write_key_status(self, ref: Ref, status: Manifest) -> None:
        self._write(f"status {ref.name}", lambda: self.objects[ref.name].update(status=copy.deepcopy(status)))

    # the API

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer admin"
        if self.away:
            raise httpx.ConnectError("refused")
        if request.method == "GET":
            return httpx.Response(200, json=[self._shown(i, k) for i, k in self.keys.items()])
        declared = request.url.path.removeprefix("/keys/")
        if self.refuses is not None:
            return self.refuses
        if request.method == "PUT":
            body = json.loads(request.content)
            self._write(f"declare {declared}", lambda: self.keys.update({declared: body}))
        else:
            self._write(f"revoke {declared}", lambda: self.keys.pop(declared))
        return httpx.Response(200, json={})

    @staticmethod
    def _shown(declared: str, key: Mapping[str, Any]) -> dict[str, Any]:
        secrets = [{"fingerprint": s["sha256"][:12], "expires_at": s["expires_at"]} for s in key["secrets"]]
        return {**key, "id": declared, "secrets": secrets}

    def _write(self, what: str, do: Any) -> None:
        place = len(self.writes)
        if self.dies_at == (place, False):
            raise Died
        do()
        self.writes.append(what)
        if self.dies_at == (place, True):
            raise Died


async def test_a_key_is_declared_kept_in_its_secret_and_then_nothing_is_written() -> None:
    world = World(memory_key(userId="u", requestsPerMinute=60))
    await world.run()
    assert world.opens(world.value())
    assert secret_values(world.secrets["k"]) == {"key": world.value(), "project": "p", **SERVICES}
    (declared,) = world.keys.values()
    assert (declared["user_id"], declared["requests_per_minute"]) == ("u", 60)
    assert world.ready()["status"] == "True"
    done = len(world.writes)
    await world.run()
    assert len(world.writes) == done


async def test_a_rotation_on_demand_keeps_the_key_before_for_the_overlap() -> None:
    world = World(memory_key())
    await world.run()
    before = world.value()
    world.objects["k"]["metadata"]["annotations"][names.ROTATE_ANNOTATION] = "now"
    await world.run()
    assert world.value() != before
    assert world.opens(before)
    assert world.opens(world.value())


@pytest.mark.parametrize("mishap", ["lost", "edited"])
async def test_a_secret_that_was_lost_or_edited_is_made_anew_and_what_it_held_is_not_accepted(mishap: str) -> None:
    world = World(memory_key())
    await world.run()
    before = world.value()
    if mishap == "lost":
        del world.secrets["k"]
    else:
        world.secrets["k"]["data"]["key"] = base64.b64encode(b"mine").decode()
    await world.run()
    assert world.opens(world.value())
    assert not world.opens(before)


async def test_a_key_of_a_resource_that_is_gone_is_revoked_and_others_are_not() -> None:
    world = World(memory_key(), memory_key("other"))
    world.keys["byhand000000"] = {"name": "by hand", "secrets": []}
    await world.run()
    gone = world.value()
    del world.objects["k"]
    await world.run()
    assert not world.opens(gone)
    assert world.opens(world.value("other"))
    assert "byhand000000" in world.keys


@pytest.mark.parametrize("reviews", [True, False])
async def test_a_service_account_needs_no_secret_and_a_system_that_reviews_tokens(reviews: bool) -> None:
    world = World(memory_key(serviceAccount={"name": "agent"}))
    endpoint = Endpoint(ENDPOINT.url, ENDPOINT.admin_key, reviews_tokens=reviews)
    await world.steward.run(SYSTEM, endpoint, "", SERVICES)
    (declared,) = world.keys.values()
    assert (declared["subject"], declared["secrets"]) == ("system:serviceaccount:n:agent", [])
    assert world.secrets == {}
    if reviews:
        assert world.ready()["status"] == "True"
    else:
        assert (world.ready()["status"], world.ready()["reason"]) == ("False", "TokenReviewOff")
        assert "set its spec.api.tokenReview to true" in world.ready()["message"]


async def test_a_key_that_has_ended_says_so_and_can_be_given_more_time() -> None:
    world = World(memory_key(rotation={"every": "24h"}))
    await world.run()
    (declared,) = world.keys.values()
    declared["expires_at"] = world.objects["k"]["spec"]["expiresAt"] = "2026-01-01T00:00:00Z"
    for _ in range(2):
        await world.run()
        assert (world.ready()["status"], world.ready()["reason"]) == ("False", "Expired")
        assert "spec.expiresAt: the key ended at 2026-01-01" in world.ready()["message"]
        assert "set a later moment" in world.ready()["message"]
        assert world.status()["secretName"] == "k"
        assert "rotatesAt" not in world.status()
    assert [write for write in world.writes if not write.startswith("status")] == world.writes[:2]
    world.objects["k"]["spec"]["expiresAt"] = "2999-01-01T00:00:00Z"
    await world.run()
    assert world.ready()["status"] == "True"
    assert world.opens(world.value())


async def test_a_key_whose_end_is_brought_forward_into_the_past_ends() -> None:
    world = World(memory_key())
    await world.run()
    value = world.value()
    world.objects["k"]["spec"]["expiresAt"] = "2026-01-01T00:00:00Z"
    for _ in range(2):
        await world.run()
        assert not world.opens(value)
        assert world.ready()["reason"] == "Expired"
        assert "make another MemoryKey" in world.ready()["message"]


async def test_somebody_else_s_secret_is_left_alone() -> None:
    world = World(memory_key())
    world.secrets["k"] = {"kind": "Secret", "metadata": {"name": "k"}, "data": {}}
    await world.run()
    assert world.ready()["reason"] == "NameTaken"
    assert world.secrets["k"]["data"] == {}
    assert world.keys == {}


async def test_a_key_that_an_account_stands_for_from_now_on_names_no_secret_any_more() -> None:
    world = World(memory_key())
    await world.run()
    value = world.value()
    world.objects["k"]["spec"]["serviceAccount"] = {"name": "agent"}
    await world.run()
    assert not world.opens(value)
    assert world.ready()["reason"] == "TokenReviewOff"
    assert not world.status().keys() & {"secretName", "issuedAt"}


@pytest.mark.parametrize("suffix", ["postgres", "neo4j", "api", "admin-key"])
async def test_no_key_is_kept_in_a_secret_of_its_system_nor_told_to_have_it_deleted(suffix: str) -> None:
    world = World(memory_key(secretName=f"m-{suffix}"))
    await world.run()
    assert world.ready()["reason"] == "NameTaken"
    assert "is for MemorySystem m itself; make another MemoryKey" in world.ready()["message"]
    assert "delete" not in world.ready()["message"]
    assert (world.secrets, world.keys) == ({}, {})


async def test_what_the_api_refuses_stalls_with_its_words() -> None:
    world = World(memory_key())
    world.refuses = httpx.Response(409, json={"detail": "the key was revoked"})
    await world.run()
    assert "the key was revoked" in world.ready()["message"]
    stalled = next(c for c in world.status()["conditions"] if c["type"] == "Stalled")
    assert stalled["status"] == "True"
    assert world.secrets == {}


async def test_while_the_api_is_away_the_secret_stays_and_the_status_says_what_is_waited_for() -> None:
    world = World(memory_key())
    await world.run()
    value = world.value()
    world.away = True
    await world.run()
    assert world.value() == value
    assert world.ready()["reason"] == "APIUnavailable"
    assert world.status()["secretName"] == "k"


#: In UTC it lies past the last year that a datetime knows.
AFTER_TIME = "9999-12-31T23:59:59-14:00"


async def test_an_unexpected_error_is_its_own_key_s_and_keeps_nothing_else_from_happening() -> None:
    world = World(memory_key("gone"))
    await world.run()
    gone = world.value("gone")
    world.objects = {o["metadata"]["name"]: o for o in (memory_key(expiresAt=AFTER_TIME), memory_key("later"))}
    assert await world.run() is None
    assert (world.ready()["status"], world.ready()["reason"]) == ("False", "Failed")
    assert "OverflowError" in world.ready()["message"]
    assert next(c for c in world.status()["conditions"] if c["type"] == "Stalled")["status"] == "True"
    assert world.opens(world.value("later"))
    assert not world.opens(gone)


async def test_a_secret_that_is_not_admitted_is_told_on_its_key_and_costs_no_key() -> None:
    world = World(memory_key(rotation={"overlap": "0m"}), memory_key("gone"))
    await world.run()
    value, gone, declared = world.value(), world.value("gone"), dict(world.keys)
    world.objects["k"]["metadata"]["annotations"][names.ROTATE_ANNOTATION] = "now"
    world.objects["later"] = memory_key("later")
    del world.objects["gone"]
    world.inadmissible = {"k"}
    for _ in range(2):
        assert isinstance(await world.run(), ClusterError)
    assert "Secret k" in world.ready()["message"]
    assert "exceeded quota" in world.ready()["message"]
    assert next(c for c in world.status()["conditions"] if c["type"] == "Stalled")["status"] == "True"
    assert world.status()["secretName"] == "k"
    assert world.opens(value)
    assert world.keys[key_id("uid-of-k")] == declared[key_id("uid-of-k")]
    assert world.opens(world.value("later"))
    assert not world.opens(gone)


async def test_a_key_without_a_system_says_so() -> None:
    world = World(memory_key())
    await world.steward.run(SYSTEM, None, "there is no MemorySystem m in namespace n", {})
    assert world.ready()["message"] == "there is no MemorySystem m in namespace n"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("place", range(6))
async def test_dying_at_any_write_leaves_a_usable_secret_and_no_unknown_key(place: int, after: bool) -> None:
    """Writes of a first pass, then of a rotation: whoever holds the Secret's key is let in at every moment, and one
    more pass leaves the API with the Secret's keys alone."""
    world = World(memory_key(rotation={"overlap": "0m"}))
    world.dies_at = (place, after)
    for asked in ("", "now"):
        world.objects["k"]["metadata"]["annotations"][names.ROTATE_ANNOTATION] = asked
        try:
            await world.run()
        except Died:
            world.dies_at = None
            # With no overlap the old key ends as the new one is declared; with one it would still open.
            await world.run()
        assert world.opens(world.value())
        (declared,) = world.keys.values()
        held = issues.read(parse(world.objects["k"]), world.secrets["k"])
        assert held is not None
        assert [s["sha256"] for s in declared["secrets"]] == [held.sha256]


async def test_an_api_that_answers_something_else_is_waited_for() -> None:
    api = KeysAPI(httpx.MockTransport(lambda _: httpx.Response(200, json={"pending": 0})))
    with pytest.raises(Waiting, match="something else than keys"):
        await api.live(ENDPOINT)
