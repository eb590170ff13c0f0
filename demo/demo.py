"""Pushes a conversation into memsys through its MCP server, asks about it, and shows what came back and why.

Reads MEMSYS_MCP_URL and MEMSYS_API_KEY (`eval "$(make -s env)"` sets both). Can be interrupted and run again: turns
that are already remembered are not pushed twice.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from bench.locomo import Conversation, Question, Turn, load

OWN_CONVERSATION = Path(__file__).with_name("conversation.json")
PROJECT = "demo"
QUESTIONS_SHOWN = 6
RESULTS_SHOWN = 3
RECALL_DEPTH = 10
GRAPH_WAIT_SECONDS = 20


async def call(client: Client[Any], tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await client.call_tool(tool, arguments)
    return answer.structured_content or {}


async def remembered_turns(client: Client[Any], conversation: Conversation) -> dict[str, str]:
    """Return the turn id of every memory this conversation already has, by memory id."""
    turns: dict[str, str] = {}
    cursor: str | None = None
    while True:
        page = await call(client, "list_memories", app_id=conversation.name, limit=100, cursor=cursor)
        turns |= {memory["id"]: memory["metadata"]["turn"] for memory in page["results"]}
        cursor = page.get("next_cursor")
        if not cursor:
            return turns


async def push(client: Client[Any], conversation: Conversation, turn: Turn) -> str:
    answer = await call(
        client,
        "add_memory",
        text=turn.text,
        speaker=turn.speaker,
        app_id=conversation.name,
        run_id=turn.session,
        timestamp=(turn.said_at + timedelta(seconds=turn.number)).isoformat(),
        metadata={"turn": turn.id},
    )
    return str(answer["results"][0]["id"])


async def wait_for_graph(client: Client[Any], question: Question, conversation: Conversation) -> None:
    """The graph follows a moment after the acknowledgement; ask until it contributes, or say that it did not."""
    deadline = time.monotonic() + GRAPH_WAIT_SECONDS
    while time.monotonic() < deadline:
        answer = await call(client, "search_memories", query=question.text, app_id=conversation.name)
        if any("graph" in result["source"] for result in answer["results"]):
            return
        await asyncio.sleep(0.5)
    print(f"  (the graph contributed nothing within {GRAPH_WAIT_SECONDS} s; see the GraphSynced condition)")


async def converse(conversation: Conversation, url: str, key: str) -> None:
    transport = StreamableHttpTransport(f"{url}/p/{PROJECT}/mcp", headers={"Authorization": f"Bearer {key}"})
    async with Client(transport) as client:
        turns = await remembered_turns(client, conversation)
        missing = [turn for turn in conversation.turns if turn.id not in set(turns.values())]
        print(f"conversation {conversation.name}: {len(conversation.turns)} turns, {len(turns)} already remembered")
        began = time.monotonic()
        for number, turn in enumerate(missing, 1):
            turns[await push(client, conversation, turn)] = turn.id
            if number % 100 == 0:
                print(f"  {number} of {len(missing)} pushed", flush=True)
        if missing:
            seconds = time.monotonic() - began
            print(f"  pushed {len(missing)} turns in {seconds:.1f} s ({1000 * seconds / len(missing):.0f} ms each)")

        await wait_for_graph(client, conversation.questions[0], conversation)
        recalls: list[float] = []
        for number, question in enumerate(conversation.questions):
            answer = await call(
                client, "search_memories", query=question.text, app_id=conversation.name, limit=RECALL_DEPTH
            )
            found = {turns.get(result["id"]) for result in answer["results"]}
            recalls.append(len(question.evidence & found) / len(question.evidence))
            if number < QUESTIONS_SHOWN:
                show(question, answer["results"])
        print(
            f"\n{len(recalls)} questions: {100 * sum(recalls) / len(recalls):.0f} % of the turns that hold the answers "
            f"are among the first {RECALL_DEPTH} memories recalled"
        )


def show(question: Question, results: list[dict[str, Any]]) -> None:
    print(f"\nQ: {question.text}")
    for result in results[:RESULTS_SHOWN]:
        print(f"   {result['score']:5.2f}  {'+'.join(result['source']):<17}  {result['memory']}")
    print(f"   answer on record: {question.answer}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=OWN_CONVERSATION, help="a file in LoCoMo's format")
    options = parser.parse_args()
    try:
        url, key = os.environ["MEMSYS_MCP_URL"], os.environ["MEMSYS_API_KEY"]
    except KeyError as missing:
        print(
            f"{missing.args[0]} is not set: run 'make demo', or eval \"$(make -s env)\" first",
            file=sys.stderr,
        )
        return 2
    try:
        conversations = load(options.data)
    except (OSError, ValueError) as error:
        print(f"--data: {error}", file=sys.stderr)
        return 2

    asyncio.run(converse(conversations[0], url, key))
    print("\nConnect Claude Code to this system:")
    print(f'  claude mcp add --transport http memsys {url}/p/{PROJECT}/mcp --header "Authorization: Bearer {key}"')
    return 0


if __name__ == "__main__":
    sys.exit(main())
