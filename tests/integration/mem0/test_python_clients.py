"""mem0's own Python clients, unmodified, given this host."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from mem0 import AsyncMemoryClient, MemoryClient
from mem0.client.types import AddMemoryOptions, DeleteAllMemoryOptions, GetAllMemoryOptions, SearchMemoryOptions
from mem0.exceptions import AuthenticationError, MemoryError, MemoryNotFoundError, ValidationError

TEA = "Alice drinks green tea"
BIKES = "Bob repairs motorcycles"


@pytest.fixture
def client(host: str, key: str) -> MemoryClient:
    return MemoryClient(api_key=key, host=host)


def _texts(answer: dict[str, Any]) -> list[str]:
    return [one["memory"] for one in answer["results"]]


def _everything(client: MemoryClient) -> set[str]:
    return set(_texts(client.get_all()))


def test_the_first_call_learns_where_it_is(client: MemoryClient) -> None:
    assert client.org_id
    assert client.project_id == "default"


def test_a_wrong_key_is_told_so(host: str) -> None:
    with pytest.raises(ValueError, match="API key"):
        MemoryClient(api_key="wrong", host=host)


def test_a_memory_lives_and_dies(client: MemoryClient) -> None:
    added = client.add(TEA, user_id="alice", metadata={"kind": "drink"}, infer=False)["results"]
    assert [(one["memory"], one["event"]) for one in added] == [(TEA, "ADD")]
    memory_id = added[0]["id"]

    held = client.get(memory_id)
    assert (held["memory"], held["user_id"], held["metadata"]["kind"]) == (TEA, "alice", "drink")
    assert held["categories"] == []

    assert client.update(memory_id, text="Alice drinks black tea")["memory"] == "Alice drinks black tea"
    assert client.delete(memory_id, delete_linked=True)["message"]
    with pytest.raises(MemoryNotFoundError, match="no such memory"):
        client.get(memory_id)

    changes = client.history(memory_id)
    assert [one["event"] for one in changes] == ["ADD", "UPDATE", "DELETE"]
    assert [one["new_memory"] for one in changes] == [TEA, "Alice drinks black tea", None]
    assert {one["user_id"] for one in changes} == {"alice"}


def test_both_ways_to_name_the_ids_of_an_add(client: MemoryClient) -> None:
    client.add(TEA, AddMemoryOptions(filters={"user_id": "alice", "app_id": "shop"}, infer=False))
    client.add([{"role": "user", "content": BIKES}], user_id="bob", run_id="r", agent_id="a")
    assert _texts(client.get_all(filters={"AND": [{"user_id": "alice"}, {"app_id": "shop"}]})) == [TEA]
    assert _texts(client.get_all(filters={"user_id": "bob", "run_id": "r", "agent_id": "a"})) == [BIKES]


def test_an_add_has_a_time_and_an_end(client: MemoryClient) -> None:
    today = datetime.now(UTC).date()
    [one] = client.add(TEA, user_id="u", infer=False, timestamp=1700000000, expiration_date=str(today))["results"]
    assert client.get(one["id"])["expiration_date"] == str(today)
    [gone] = client.add(BIKES, user_id="u", infer=False, expiration_date=str(today - timedelta(days=1)))["results"]
    with pytest.raises(MemoryNotFoundError):
        client.get(gone["id"])


def test_search_finds_within_its_filters(client: MemoryClient) -> None:
    client.add(TEA, user_id="alice", metadata={"cups": 3}, infer=False)
    client.add("Bob drinks green tea too", user_id="bob", metadata={"cups": 1}, infer=False)
    assert _texts(client.search("green tea", filters={"user_id": "alice"})) == [TEA]
    either = {"OR": [{"user_id": "alice"}, {"user_id": "bob"}]}
    assert len(_texts(client.search("green tea", filters=either))) == 2
    assert _texts(client.search("green tea", filters={"AND": [either, {"cups": {"gt": 2}}]})) == [TEA]
    assert _texts(client.search("green tea", filters={"NOT": [{"user_id": {"in": ["bob"]}}]})) == [TEA]
    assert _texts(client.search("green tea", filters=either, metadata={"cups": 3})) == [TEA]
    best = SearchMemoryOptions(
        filters=either, top_k=1, fields=["memory", "score"], latest_only=True, keyword_search=True, rerank=False,
        threshold=0.0, reference_date="2026-05-01",
    )  # fmt: skip
    [only] = client.search("what does alice drink", best)["results"]
    assert set(only) == {"id", "memory", "score"}


def test_pages_lead_to_one_another(client: MemoryClient, key: str) -> None:
    for number in range(5):
        client.add(f"fact {number}", user_id="u", infer=False)
    client.add("another's", user_id="v", infer=False)
    first = client.get_all(GetAllMemoryOptions(filters={"user_id": "u"}, page=1, page_size=2))
    assert (first["count"], first["previous"], _texts(first)) == (5, None, ["fact 4", "fact 3"])
    last = client.get_all(filters={"user_id": "u"}, page=3, page_size=2)
    assert (last["count"], last["next"], _texts(last)) == (5, None, ["fact 0"])
    following = httpx.post(
        first["next"], json={"filters": {"user_id": "u"}}, headers={"Authorization": f"Token {key}"}
    ).json()
    assert _texts(following) == ["fact 2", "fact 1"]


def test_days_bound_a_list(client: MemoryClient) -> None:
    client.add(TEA, user_id="u", infer=False)
    today = datetime.now(UTC).date()
    wide = {"start_date": str(today - timedelta(days=1)), "end_date": str(today + timedelta(days=1))}
    assert _texts(client.get_all(filters={"user_id": "u"}, **wide)) == [TEA]
    assert _texts(client.get_all(filters={"user_id": "u"}, end_date=str(today - timedelta(days=2)))) == []
    for day in (str(today), f"{today:%Y%m%d}", f"{today:%G-W%V-%u}"):
        assert _texts(client.get_all(filters={"user_id": "u"}, start_date=day, end_date=day)) == [TEA]
    with pytest.raises(ValidationError, match="start_date"):
        client.get_all(start_date="soon")


def test_batches_change_all_or_say_what_is_missing(client: MemoryClient) -> None:
    ids = [client.add(f"fact {n}", user_id="u", infer=False)["results"][0]["id"] for n in range(3)]
    client.batch_update([{"memory_id": ids[0], "text": "new 0"}, {"memory_id": ids[1], "metadata": {"n": 1}}])
    assert client.get(ids[0])["memory"] == "new 0"
    assert client.get(ids[1])["metadata"] == {"n": 1}
    nobody = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(MemoryNotFoundError, match=r"memories\.1\.memory_id"):
        client.batch_delete([{"memory_id": ids[2]}, {"memory_id": nobody}])
    with pytest.raises(MemoryNotFoundError, match=r"memories\.0\.memory_id, memories\.2\.memory_id"):
        client.batch_update([{"memory_id": i, "text": "x"} for i in (nobody, ids[2], nobody[:-1] + "1")])
    with pytest.raises(ValidationError, match=r"memories\.2\.memory_id: is also memories\.0"):
        client.batch_update([{"memory_id": i, "text": "x"} for i in (ids[2], ids[0], ids[2])])
    with pytest.raises(ValidationError, match=r"memories\.1: must have text"):
        client.batch_update([{"memory_id": ids[2], "text": "x"}, {"memory_id": ids[0]}])
    assert client.get(ids[2])["memory"] == "fact 2"
    client.batch_delete([{"memory_id": one} for one in ids])
    assert _everything(client) == set()


def test_entities_are_whose_memories_there_are(client: MemoryClient) -> None:
    client.add(TEA, user_id="alice", app_id="shop", infer=False)
    client.add(BIKES, user_id="a/b c", infer=False)
    found = client.users()
    assert found["count"] == 3
    assert [(e["type"], e["name"], e["total_memories"]) for e in found["results"]] == [
        ("app", "shop", 1), ("user", "a/b c", 1), ("user", "alice", 1),
    ]  # fmt: skip
    client.delete_users(user_id="a/b c")
    assert _everything(client) == {TEA}
    client.delete_users(user_id="a/b c")
    with pytest.raises(MemoryNotFoundError):
        client.delete_users(user_id="a/b")


def test_a_reset_deletes_entity_by_entity(client: MemoryClient) -> None:
    """Also where the memories of one are those of another, and are gone when its turn comes."""
    client.add(TEA, user_id="alice", agent_id="helper", app_id="shop", run_id="r", infer=False)
    client.add(BIKES, user_id="bob", agent_id="helper", infer=False)
    client.reset()
    assert _everything(client) == set()


class TestDeletingAll:
    """A server that leaves out a filter it does not understand deletes everything."""

    @pytest.fixture(autouse=True)
    def memories(self, client: MemoryClient) -> None:
        client.add(TEA, user_id="alice", infer=False)
        client.add(BIKES, user_id="bob", run_id="r", infer=False)

    def test_ids_bound_it(self, client: MemoryClient) -> None:
        client.delete_all(user_id="alice")
        assert _everything(client) == {BIKES}

    def test_filters_sent_as_a_dictionarys_repr_are_refused(self, client: MemoryClient) -> None:
        """What the client makes of its own option: ``filters={'user_id': 'alice'}`` as a query parameter."""
        with pytest.raises(ValidationError, match="filters: is not JSON"):
            client.delete_all(DeleteAllMemoryOptions(filters={"user_id": "alice"}))
        with pytest.raises(ValidationError, match="filters: is not JSON"):
            client.delete_all(filters={"user_id": "alice"}, run_id="r")
        assert _everything(client) == {TEA, BIKES}

    def test_filters_as_json_bound_it(self, client: MemoryClient) -> None:
        client.delete_all(filters='{"AND": [{"user_id": "bob"}, {"run_id": "r"}]}')
        assert _everything(client) == {TEA}

    @pytest.mark.parametrize("scope", [
        {},
        {"user_id": ""},
        {"user_id": "*"},
        {"filters": {}},
        {"filters": "{}"},
        {"filters": "[]"},
        {"filters": "null"},
        {"filters": '{"metadata": {"a": 1}}'},
        {"filters": '{"user_id": "*"}'},
        {"filters": '{"user_id": {"ne": "alice"}}'},
        {"filters": '{"OR": [{"user_id": "alice"}, {"user_id": "bob"}]}'},
        {"filters": '{"user_id": "alice", "n": 1}'},
        {"filters": '{"user_id": "alice"}', "user_id": "bob"},
        {"user_id": "alice", "org": "x"},
        {"user_id": ["alice", "bob"]},
    ], ids=str)  # fmt: skip
    def test_what_is_empty_or_not_understood_deletes_nothing(self, client: MemoryClient, scope: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            client.delete_all(**scope)
        assert _everything(client) == {TEA, BIKES}

    def test_a_keys_own_scope_is_no_scope_of_the_request(self, client: MemoryClient, host: str, key: str) -> None:
        grant = {"name": "alice's", "projects": ["default"], "user_id": "alice"}
        made = httpx.post(f"{host}/keys", json=grant, headers={"X-API-Key": key}).json()["key"]
        hers = MemoryClient(api_key=made, host=host)
        with pytest.raises(ValidationError, match="at least one"):
            hers.delete_all()
        with pytest.raises(AuthenticationError):
            hers.delete_all(user_id="bob")
        assert _everything(hers) == {TEA}


@pytest.mark.parametrize(("option", "value"), [
    ("custom_categories", [{"food": "meals"}]), ("custom_instructions", "be brief"),
    ("agent_custom_instructions", "be brief"), ("structured_data_schema", {"a": "b"}),
])  # fmt: skip
def test_an_option_of_an_add_that_is_not_had_is_refused_by_name(client: MemoryClient, option: str, value: Any) -> None:
    with pytest.raises(MemoryError, match=option) as refused:
        client.add(TEA, user_id="u", **{option: value})
    assert refused.value.error_code == "HTTP_501"
    assert _everything(client) == set()


@pytest.mark.parametrize(("option", "value"), [
    ("rerank", True), ("show_expired", True), ("latest_only", False), ("keyword_search", False), ("categories", ["a"]),
])  # fmt: skip
def test_an_option_of_a_search_that_is_not_had_is_refused_by_name(
    client: MemoryClient, option: str, value: Any
) -> None:
    with pytest.raises(MemoryError, match=option) as refused:
        client.search("tea", filters={"user_id": "u"}, **{option: value})
    assert refused.value.error_code == "HTTP_501"


def test_an_update_moves_a_memorys_time_and_end_and_clears_the_end(client: MemoryClient, host: str, key: str) -> None:
    [one] = client.add(TEA, user_id="u", infer=False)["results"]
    tomorrow = str(datetime.now(UTC).date() + timedelta(days=1))
    assert client.update(one["id"], expiration_date=tomorrow)["expiration_date"] == tomorrow
    for timestamp in (1700000000, 1700000000.0, "2023-11-14T22:13:20Z"):
        client.update(one["id"], timestamp=timestamp)
        held = httpx.get(f"{host}/memories/{one['id']}", headers={"X-API-Key": key}).json()
        assert datetime.fromisoformat(held["event_time"]) == datetime.fromtimestamp(1700000000, UTC)
        assert (held["memory"], held["expires_at"] is not None) == (TEA, True)
    assert client.update(one["id"], expiration_date=None)["expiration_date"] is None
    for option, value in (("timestamp", "soon"), ("expiration_date", "soon"), ("timestamp", float(10**18))):
        with pytest.raises(ValidationError, match=option):
            client.update(one["id"], **{option: value})


def test_times_at_the_ends_of_the_calendar_are_taken_or_refused(client: MemoryClient) -> None:
    [one] = client.add(TEA, user_id="u", infer=False)["results"]
    for last in (253370678400, -62104060800, "9998-12-31T00:00:00Z"):
        client.update(one["id"], timestamp=last)
    for beyond in (253370678401, -62104060801, "9998-12-31T00:00:01Z", "9999-01-01", "0001-12-31"):
        with pytest.raises(ValidationError, match="timestamp"):
            client.update(one["id"], timestamp=beyond)
    for day in ("9998-12-31", "9999-12-31", "0001-01-01"):
        with pytest.raises(ValidationError, match="expiration_date"):
            client.update(one["id"], expiration_date=day)


def test_an_option_that_nobody_declares_is_refused_by_name(client: MemoryClient) -> None:
    for call in (
        lambda: client.add(TEA, user_id="u", colour="red"),
        lambda: client.search("tea", filters={}, colour="red"),
        lambda: client.get_all(filters={}, colour="red"),
        lambda: client.search("tea", fields=["colour"]),
    ):
        with pytest.raises(ValidationError, match="colour"):
            call()


def test_what_the_server_does_not_do_is_said_and_never_pretended(client: MemoryClient) -> None:
    for call in (
        lambda: client.create_memory_export("{}", filters={"user_id": "u"}),
        lambda: client.get_summary({"user_id": "u"}),
        lambda: client.get_profile("u"),
        lambda: client.generate_profile("u"),
        lambda: client.get_profile_settings(),
        lambda: client.update_profile_settings(enabled=True),
        lambda: client.sample_profiles(),
        lambda: client.get_profile_job("1"),
        lambda: client.get_project(),
        lambda: client.update_project(custom_instructions="x"),
        lambda: client.project.get(),
        lambda: client.project.get_members(),
        lambda: client.get_webhooks("default"),
        lambda: client.create_webhook("https://example.org", "n", "default", ["memory_add"]),
        lambda: client.update_webhook(1, name="n"),
        lambda: client.delete_webhook(1),
    ):
        with pytest.raises(MemoryError) as refused:
            call()
        assert refused.value.error_code == "HTTP_501"
        assert refused.value.details["type"] == "https://memsys.dev/problems/not-supported"


def test_a_key_of_another_project_reaches_nothing(client: MemoryClient, host: str, key: str) -> None:
    [one] = client.add(TEA, user_id="alice", infer=False)["results"]
    grant = {"name": "elsewhere", "projects": ["elsewhere"]}
    made = httpx.post(f"{host}/keys", json=grant, headers={"X-API-Key": key}).json()["key"]
    other = MemoryClient(api_key=made, host=host)
    assert other.project_id == "elsewhere"
    for call in (
        lambda: other.get(one["id"]),
        lambda: other.update(one["id"], text="x"),
        lambda: other.delete(one["id"]),
        lambda: other.history(one["id"]),
        lambda: other.batch_update([{"memory_id": one["id"], "text": "x"}]),
        lambda: other.batch_delete([{"memory_id": one["id"]}]),
        lambda: other.delete_users(user_id="alice"),
    ):
        with pytest.raises(MemoryNotFoundError):
            call()
    assert other.users()["results"] == other.search("tea")["results"] == other.get_all()["results"] == []
    other.delete_all(user_id="alice")
    assert client.get(one["id"])["memory"] == TEA


@pytest.mark.parametrize(("method", "path"), [("POST", "/reset"), ("POST", "/configure"), ("GET", "/configure")])
def test_routes_of_mem0s_own_server_that_are_not_had(host: str, key: str, method: str, path: str) -> None:
    assert httpx.request(method, f"{host}{path}").status_code == 401
    answer = httpx.request(method, f"{host}{path}", headers={"X-API-Key": key})
    assert answer.status_code == 501
    assert answer.headers["content-type"] == "application/json"


async def test_the_asynchronous_client_does_the_same(host: str, key: str) -> None:
    async with AsyncMemoryClient(api_key=key, host=host) as client:
        [one] = (await client.add(TEA, user_id="alice", infer=False))["results"]
        await client.add(BIKES, user_id="bob", infer=False)
        assert (await client.get(one["id"]))["memory"] == TEA
        assert _texts(await client.search("green tea", filters={"user_id": "alice"})) == [TEA]
        assert (await client.get_all(filters={"user_id": "*"}, page=1, page_size=1))["count"] == 2
        assert (await client.update(one["id"], text="Alice rests"))["memory"] == "Alice rests"
        assert [change["event"] for change in await client.history(one["id"])] == ["ADD", "UPDATE"]
        assert (await client.feedback(one["id"], "NEGATIVE", "too short"))["feedback"] == "NEGATIVE"
        assert _texts(await client.search("Alice", filters={"feedback": "NEGATIVE"})) == ["Alice rests"]
        assert (await client.users())["count"] == 2
        await client.batch_update([{"memory_id": one["id"], "text": TEA}])
        with pytest.raises(ValidationError, match="filters: is not JSON"):
            await client.delete_all(filters={"user_id": "alice"})
        with pytest.raises(ValidationError):
            await client.delete_all()
        assert (await client.get_all())["count"] == 2
        await client.delete_all(user_id="bob")
        await client.batch_delete([{"memory_id": one["id"]}])
        assert (await client.get_all())["count"] == 0
        with pytest.raises(MemoryNotFoundError):
            await client.delete(one["id"])
