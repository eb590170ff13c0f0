"""What a user does in a session, through every client and transport, against the real API and PostgreSQL."""

from __future__ import annotations

import json

import pytest

import memsys

from .clients import CLIENTS, Opener, Target

TOOLS = ["add_memory", "search_memories", "list_memories", "update_memory", "delete_memory"]


@pytest.fixture(params=CLIENTS)
def connect(request: pytest.FixtureRequest) -> Opener:
    return CLIENTS[request.param]


async def test_a_whole_session(connect: Opener, target: Target):
    async with connect(target) as session:
        assert [tool.name for tool in await session.tools()] == TOOLS

        stored = await session.call(
            "add_memory",
            text="Priya prefers tabs over spaces in Makefiles.",
            speaker="Priya",
            run_id="session-1",
            app_id="demo",
            timestamp="2026-05-03T10:00:00+02:00",
            metadata={"turn": 1},
        )
        assert not stored.is_error, stored.text
        [added] = stored.data["results"]
        assert (added["event"], added["version"], added["project"]) == ("ADD", 1, target.project)
        identity = added["id"]
        await session.call("add_memory", text="The staging database runs in Frankfurt.")

        found = await session.call("search_memories", query="How does Priya indent her build files?", limit=10)
        assert found.data["results"][0]["id"] == identity, found.text
        hit = found.data["results"][0]
        assert hit["event_time"] == "2026-05-03T08:00:00Z"
        assert hit["score"] > 0
        assert set(hit["source"]) <= {"vector", "text", "graph"}
        assert hit["metadata"]["turn"] == 1
        assert identity in found.text

        listed = await session.call("list_memories", limit=1)
        assert len(listed.data["results"]) == 1
        following = await session.call("list_memories", limit=1, cursor=listed.data["next_cursor"])
        assert {listed.data["results"][0]["id"], following.data["results"][0]["id"]} >= {identity}
        assert "next_cursor" not in following.data

        by_app = await session.call("list_memories", app_id="demo")
        assert [item["id"] for item in by_app.data["results"]] == [identity]

        changed = await session.call("update_memory", memory_id=identity, text="Priya prefers spaces now.")
        assert changed.data == {"id": identity, "event": "UPDATE", "version": 2}
        assert json.loads(await session.read(f"memory://{identity}"))["memory"] == "Priya prefers spaces now."
        history = json.loads(await session.read(f"memory://{identity}/history"))
        assert [entry["event"] for entry in history] == ["ADD", "UPDATE"]

        assert "Priya prefers spaces now." in await session.prompt("recall_project")
        about = await session.prompt("recall_project", topic="where the database runs")
        assert about.index("Frankfurt") < about.index("Priya")

        gone = await session.call("delete_memory", memory_id=identity)
        assert gone.data == {"id": identity, "event": "DELETE"}
        again = await session.call("delete_memory", memory_id=identity)
        assert again.is_error
        assert "search_memories" in again.text
        left = await session.call("list_memories")
        assert [item["memory"] for item in left.data["results"]] == ["The staging database runs in Frankfurt."]


async def test_answers_keep_to_the_token_budget_and_paging_misses_nothing(target: Target):
    texts = [f"Fact number {number}: " + "word " * 60 for number in range(12)]
    async with CLIENTS["fastmcp-http"](target) as session:
        for text in texts:
            assert not (await session.call("add_memory", text=text)).is_error
        found = await session.call("search_memories", query="fact number", limit=12, token_budget=500)
        assert len(json.dumps(found.data)) < 500 * 5
        assert found.data["left_off"] == 12 - len(found.data["results"]) > 0
        assert "token_budget" in found.text

        seen: list[str] = []
        cursor = None
        for _ in range(20):
            page = await session.call(
                "list_memories", limit=12, token_budget=500, **({"cursor": cursor} if cursor else {})
            )
            seen += [item["memory"] for item in page.data["results"]]
            cursor = page.data.get("next_cursor")
            if cursor is None:
                break
        assert sorted(seen) == sorted(texts)


async def test_a_long_history_keeps_its_end_and_says_what_is_left_out(target: Target):
    with memsys.Client(target.api_url, target.key, project=target.project) as api:
        identity = api.add("The till opens at nine.", infer=False).results[0].id
        for n in range(120):
            api.update(identity, text=f"The till opens {n} minutes past nine. " + "Or so. " * 100)
        async with CLIENTS["fastmcp-http"](target) as session:
            for last in ("UPDATE", "DELETE"):
                history, note = await session.client.read_resource(f"memory://{identity}/history")
                changes = json.loads(history.text)
                assert len(history.text) < 4 * 10_000
                assert changes[-1]["event"] == last
                assert changes[-1]["version"] == (121 if last == "UPDATE" else 122)
                assert note.text.startswith(f"{changes[0]['version'] - 1} earlier changes are left out")
                if last == "UPDATE":
                    api.delete(identity)


async def test_a_model_is_told_which_tool_does_what(target: Target):
    async with CLIENTS["fastmcp-http"](target) as session:
        tools = {tool.name: tool for tool in await session.tools()}
    hints = {
        name: (tool.annotations.read_only_hint, tool.annotations.destructive_hint, tool.annotations.idempotent_hint)
        for name, tool in tools.items()
    }
    assert hints == {
        "add_memory": (False, False, False),
        "search_memories": (True, False, True),
        "list_memories": (True, False, True),
        "update_memory": (False, True, False),
        "delete_memory": (False, True, True),
    }
    for tool in tools.values():
        assert tool.output_schema["type"] == "object"
        assert 80 < len(tool.description) < 600
        for name, argument in tool.input_schema["properties"].items():
            assert argument.get("description"), f"{tool.name}.{name} does not say what it is"


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("add_memory", {"text": ""}, "text: "),
        ("add_memory", {"text": "   "}, "text: "),
        ("add_memory", {}, "text: is required"),
        ("add_memory", {"text": "x" * 32_001}, "text: "),
        ("add_memory", {"text": "x", "timestamp": "yesterday"}, "timestamp: "),
        ("add_memory", {"text": "x", "metadata": {"a": "\x00"}}, "metadata: "),
        ("search_memories", {"query": "x", "limit": 0}, "limit: "),
        ("search_memories", {"query": "x", "token_budget": 1}, "token_budget: "),
        ("list_memories", {"cursor": "not-a-cursor"}, "cursor: "),
        ("update_memory", {"memory_id": "1", "text": "x"}, "memory_id: "),
        ("delete_memory", {}, "memory_id: is required"),
    ],
)
async def test_bad_arguments_are_named_and_nothing_is_stored(
    target: Target, tool: str, arguments: dict[str, object], says: str
):
    async with CLIENTS["fastmcp-http"](target) as session:
        answer = await session.call(tool, **arguments)
        assert answer.is_error
        assert says in answer.text
        assert "Correct it and call again" in answer.text
        assert (await session.call("list_memories")).data["results"] == []
