"""Clients that add, change, delete, search and list, each memories of its own, and write down what they are told."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from uuid import UUID

from .front import Front, GivenUp
from .ledger import Ledger, Record

PROJECT = "default"
PEOPLE = ("Anna Lindqvist", "Bo Nakamura", "Carla Mendes", "Dmitri Volkov", "Esi Owusu")
PLACES = ("Berlin", "Lisbon", "Osaka", "Accra", "Tartu")
FIRMS = ("Globex", "Initech", "Umbrella")
_THINKING_SECONDS = 0.25
_MOST_MEMORIES = 60
_IMPATIENT = 0.3  # of the writes are given up when their first attempt is not answered


@dataclass
class Client:
    """One user. Carries one thing out after the other; draws only on its own generator."""

    number: int
    seed: int
    front: Front
    ledger: Ledger
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
            steps = [self._search, self._list]
            weights = [25.0, 10.0]
            if len(known) < _MOST_MEMORIES:
                steps.append(self._add)
                weights.append(40)
            if known:
                steps += [self._update, self._delete, self._get]
                weights += [15, 5, 5]
            try:
                await self._random.choices(steps, weights)[0](known)
            except GivenUp:
                continue

    async def _add(self, _: list[Record]) -> None:
        texts = [self._text() for _ in range(self._random.choice((1, 1, 1, 2, 3)))]
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
        self.mine += self.ledger.added(key, self.user, results)
        if [one["memory"] for one in results] != texts:
            self.front.violations.append(f"add of {texts} was answered with {results}")

    async def _update(self, known: list[Record]) -> None:
        record, text = self._random.choice(known), self._text()
        content = {"text": text, "version": record.newest}
        path = f"/memories/{record.id}"
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

    async def _delete(self, known: list[Record]) -> None:
        record = self._random.choice(known)
        try:
            # 404: an attempt that was not answered had been carried out.
            await self.front.request("DELETE", f"/memories/{record.id}", allowed=(200, 404), patience=self._patience())
        except GivenUp:
            self.ledger.delete_given_up(record)
            raise
        self.ledger.deleted(record)

    async def _search(self, known: list[Record]) -> None:
        """Look for one of one's own; what was acknowledged before is found, whatever is away."""
        query = known and self._random.choice(known)
        text = query.versions[query.newest] if query else f"what does {self._random.choice(PEOPLE)} do?"
        answer = await self.front.request("POST", "/search", json={"query": text, "user_id": self.user})
        found = answer.json()["results"]
        if query and query.id not in [one["id"] for one in found]:
            self.front.violations.append(f"{self.user} does not find {query.id}: {text!r}")

    async def _list(self, _: list[Record]) -> None:
        await self.front.request("GET", "/memories", params={"user_id": self.user, "limit": 20})

    async def _get(self, known: list[Record]) -> None:
        record = self._random.choice(known)
        answer = await self.front.request("GET", f"/memories/{record.id}")
        if answer.json()["memory"] != record.versions[record.newest]:
            self.front.violations.append(f"{record.id} reads {answer.json()}, acknowledged was {record.versions}")

    def _patience(self) -> int | None:
        return 1 if self._random.random() < _IMPATIENT else None

    def _text(self) -> str:
        """A sentence that names people and places others name too, and a word that is in no other."""
        self._made += 1
        who, where, firm = (self._random.choice(names) for names in (PEOPLE, PLACES, FIRMS))
        return f"{who} of {firm} met us in {where} about matter x{self.number}y{self._made}z"
