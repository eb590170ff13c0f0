"""Sends conversations into a running API and asks it the questions, one after another."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Sequence
from itertools import groupby

import httpx
import numpy as np

from bench.locomo import Conversation, Question

DEPTH = 20
TIMEOUT_SECONDS = 120.0

Answers = list[list[tuple[Question, list[str]]]]


def over_api(url: str, key: str, conversations: Sequence[Conversation]) -> Answers:
    """Return the answers of the API at ``url`` to every question, as ids of turns; prints how long searches took.

    Each conversation goes into a project of its own, which is emptied afterwards.
    """
    return asyncio.run(_over_api(url, key, conversations))


async def _over_api(url: str, key: str, conversations: Sequence[Conversation]) -> Answers:
    headers = {"Authorization": f"Bearer {key}"}
    answers, seconds = [], []
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS) as client:
        for conversation in conversations:
            client.headers["X-Memsys-Project"] = f"bench-{conversation.name.lower()}-{secrets.token_hex(4)}"
            turns = await _remember(client, conversation)
            own = []
            for question in conversation.questions:
                started = time.perf_counter()
                found = await _post(client, "/search", {"query": question.text, "top_k": DEPTH})
                seconds.append(time.perf_counter() - started)
                own.append((question, [turns[result["id"]] for result in found["results"]]))
            answers.append(own)
            for session in {turn.session for turn in conversation.turns}:
                (await client.delete("/memories", params={"run_id": session})).raise_for_status()
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    print(f"{len(seconds)} searches, one at a time: p50 {p50:.1f} ms, p95 {p95:.1f} ms", file=sys.stderr)
    return answers


async def _remember(client: httpx.AsyncClient, conversation: Conversation) -> dict[str, str]:
    """Add every turn as one memory, verbatim, a session as one run; return the turn of each memory's id."""
    turns: dict[str, str] = {}
    for session, group in groupby(conversation.turns, key=lambda turn: turn.session):
        said = list(group)
        added = await _post(
            client,
            "/memories",
            {
                "messages": [{"role": "user", "content": turn.text, "name": turn.speaker} for turn in said],
                "run_id": session,
                "timestamp": said[0].said_at.isoformat(),
                "infer": False,
            },
        )
        turns |= {result["id"]: turn.id for result, turn in zip(added["results"], said, strict=True)}
    return turns


async def _post(client: httpx.AsyncClient, path: str, body: dict[str, object]) -> dict[str, list[dict[str, str]]]:
    answer = await client.post(path, json=body)
    if answer.is_error:
        raise RuntimeError(f"{path} answered {answer.status_code}: {answer.text}")
    content: dict[str, list[dict[str, str]]] = answer.json()
    return content
