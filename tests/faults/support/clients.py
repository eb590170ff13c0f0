"""Clients that add, change, delete, search and list, each memories of its own, and write down what they are told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from .front import Front, GivenUp
from .ledger import Ledger, Record

PROJECT = "default"
PEOPLE = ("Anna Lindqvist", "Bo Nakamura", "Carla Mendes", "Dmitri Volkov", "Esi Owusu")
PLACES = ("Berlin", "Lisbon", "Osaka", "Accra", "Tartu")
FIRMS = ("Globex", "Initech", "Umbrella")
_THINKING_SECONDS = 0.25
_MOST_MEMORIES = 60

Step = Callable[[], Awaitable[object]]


@dataclass
class Client:
    """One user. Carries one thing out after the other; draws only on its own generator."""

    number: int
    seed: int
    front: Front
    ledger: Ledger
    impatient: float = 0.3
    """The share of its writes that it gives up when their first attempt is not answered."""
    mine: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.user = f"user-{self.number}"
        self._random = random.Random(f"{self.seed}/{self.number}")
        self._made = 0

    async def live(self, over: asyncio.Event) -> None:
        """Do things until it is over, and the last one to its end."""
        while not over.is_set():
            await asyncio.sleep(self._random.uniform(0, 2 * _THINKING_SECONDS))
            known = [record for record in self.mine if record.settled and not record.deleted]
            one = self._random.choice(known) if known else None
            steps: list[tuple[float, Step]] = [(25, partial(self._search, one)), (10, self._list)]
            if len(known) < _MOST_MEMORIES:
                steps.append((40, partial(self.add, self._random.choice((1, 1, 1, 2, 3)))))
            if one:
                steps += [(15, partial(self.update, one)), (5, partial(self.delete, one)), (5, partial(self._get, one))]
            [step] = self._random.choices([step for _, step in steps], [weight for weight, _ in steps])
            with suppress(GivenUp):
                await step()

    async def add(self, number: int) -> list[Record]:
        """Add so many messages at once; the memories that they became."""
        texts = [self._text() for _ in range(number)]
        key = str(UUID(int=self._random.getrandbits(128), version=4))
        content = {"messages": [{"role": "user", "content": text} for text in texts], "user_id": self.user}
        try:
            answer = await self.front.request(
                "POST", "/memories", json=content, headers={"Idempotency-Key": key}, patience=self._patience()
            )
        except GivenUp:
            self.ledger.add_given_up(key, texts)
            raise
        results = answer.json()["results"]
        made = self.ledger.added(key, self.user, results)
        self.mine += made
        if [one["memory"] for one in results] != texts:
            self.front.violations.append(f"add of {texts} was answered with {results}")
        return made

    async def update(self, record: Record) -> None:
        """Change one memory's text."""
        text, path = self._text(), f"/memories/{record.id}"
        content = {"text": text, "version": record.newest}
        try:
            answer = await self.front.request("PUT", path, json=content, allowed=(200, 409), patience=self._patience())
            if answer.status_code == 409:  # an attempt that was not answered had been carried out
                answer = await self.front.request("GET", path)
        except GivenUp:
            self.ledger.update_given_up(record, text)
            raise
        found = answer.json()
        if (found["version"], found["memory"]) != (record.newest + 1, text):
            self.front.violations.append(f"{record.id}: update {record.newest} to {text!r} led to {found}")
        self.ledger.updated(record, found["version"], found["memory"])

    async def delete(self, record: Record) -> None:
        """Delete one memory."""
        path = f"/memories/{record.id}"
        try:
            # 404: an attempt that was not answered had been carried out.
            await self.front.request("DELETE", path, allowed=(200, 404), patience=self._patience())
        except GivenUp:
            self.ledger.delete_given_up(record)
            raise
        self.ledger.deleted(record)

    async def _search(self, one: Record | None) -> None:
        """Look for one of one's own; what was acknowledged before is found, whatever is away."""
        text = one.versions[one.newest] if one else f"what does {self._random.choice(PEOPLE)} do?"
        answer = await self.front.request("POST", "/search", json={"query": text, "user_id": self.user})
        found = answer.json()["results"]
        if one and one.id not in [memory["id"] for memory in found]:
            self.front.violations.append(f"{self.user} does not find {one.id}: {text!r}")

    async def _list(self) -> None:
        await self.front.request("GET", "/memories", params={"user_id": self.user, "limit": 20})

    async def _get(self, record: Record) -> None:
        answer = await self.front.request("GET", f"/memories/{record.id}")
        if answer.json()["memory"] != record.versions[record.newest]:
            self.front.violations.append(f"{record.id} reads {answer.json()}, acknowledged was {record.versions}")

    def _patience(self) -> int | None:
        return 1 if self._random.random() < self.impatient else None

    def _text(self) -> str:
        """A sentence that names people and places others name too, and a word that is in no other."""
        self._made += 1
        who, where, firm = (self._random.choice(names) for names in (PEOPLE, PLACES, FIRMS))
        return f"{who} of {firm} met us in {where} about matter x{self.number}y{self._made}z"
