"""From a conversation to changed memories: what the language model decides, carried out in one transaction.

The model is asked before any transaction. Within it nothing is asked any more: what the model was shown may have
changed meanwhile, and then the fact is added beside it, or found to be there already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from memsys_api.access.budgets import Budgets
from memsys_api.flows.drafts import Draft, embedded, finished, text_hash, thread_of
from memsys_api.flows.search_way import Chooser
from memsys_api.inference import Add, Inference, InferenceRequest, Inferrer, Message, Nothing, Supersede
from memsys_api.model import Memory, Outcome, Scope
from memsys_api.ports import Embedder, Vectors
from memsys_api.quarantine.detect import Finding
from memsys_api.quarantine.gate import Gate
from memsys_api.store import facts, inferences, versions
from memsys_api.store.contents import NewVersion
from memsys_api.store.database import Connection, Database
from memsys_api.store.generations import Generation
from memsys_api.store.held import Kept
from memsys_api.store.nearest import nearest

SHOWN = 20
"""Existing memories that the model is shown at most."""
_ASKED_BY = 32  # messages by which these are looked for: the longest


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """What was said, and what every memory that comes of it is stored with."""

    turns: Sequence[Message]
    observed_at: datetime
    actor: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    expires_at: datetime | None = None
    instructions: str | None = None
    includes: str | None = None
    excludes: str | None = None
    reviewed: bool = False
    """Whether somebody has let it in, so that no policy stops what is made of it."""


@dataclass(frozen=True)
class Decided:
    """What the model decided about a conversation."""

    conversation: Conversation
    found: Inference
    shown: Mapping[UUID, int]
    """The versions of the memories that it was shown."""
    ready: Mapping[int, NewVersion]
    """What is to be written, by the position of the decision."""


@dataclass(frozen=True)
class Written:
    """What a transaction has written: the answer, and what the sinks have to hear of."""

    outcomes: list[Outcome]
    changed: list[tuple[UUID, int]]


class Overtaken(Exception):
    """What the model was asked about or shown was edited, deleted or erased meanwhile; ask again without it."""


class Suspect(Exception):
    """What the model made of a conversation is not let in by the project's policy."""

    def __init__(self, findings: list[Finding], facts: list[str]) -> None:
        super().__init__()
        self.findings, self.facts = findings, facts


class Inferring:
    """Asks the model, and carries out what it decides."""

    def __init__(
        self,
        database: Database,
        generation: Generation,
        embedder: Embedder,
        inferrer: Inferrer,
        budgets: Budgets,
        gate: Gate,
        chooser: Chooser,
    ) -> None:
        self._database = database
        self._chooser = chooser
        self._generation = generation
        self._embedder = embedder
        self._inferrer = inferrer
        self._budgets = budgets
        self._gate = gate

    async def decide(self, scope: Scope, conversation: Conversation) -> Decided:
        """Ask the model, with what it may know already. Raises what inference, embedder and database raise.

        Past the project's budget that is :class:`~memsys_api.access.budgets.OverBudget`, and :class:`Suspect` where
        the project's policy does not let in what the model says.
        """
        await self._budgets.check(scope.project)
        existing = []
        asked_by = sorted((t for t in conversation.turns), key=lambda t: -len(t.content))[:_ASKED_BY]
        if asked_by:
            vectors = await embedded(self._embedder, [(turn.content, turn.name) for turn in asked_by])
            existing = await self._nearest(scope, vectors)
        async with self._budgets.counting(scope.project) as spent:
            found = await self._inferrer.infer(
                InferenceRequest(
                    conversation.turns,
                    existing,
                    observed_at=conversation.observed_at,
                    user=scope.user_id,
                    agent=scope.agent_id,
                    instructions=conversation.instructions,
                    includes=conversation.includes,
                    excludes=conversation.excludes,
                ),
                spent,
            )
        drafts = {
            place: _draft(decision, conversation)
            for place, decision in enumerate(found.decisions)
            if not isinstance(decision, Nothing)
        }
        said = list(drafts.values())
        if not conversation.reviewed and (findings := await self._gate.stopped(scope.project, _words(said))):
            raise Suspect(findings, [draft.text for draft in said])
        made = await finished(self._embedder, said, mark=await self._gate.marks(scope.project))
        ready = dict(zip(drafts, made, strict=True))
        return Decided(conversation, found, {memory.id: memory.version for memory in existing}, ready)

    async def _nearest(self, scope: Scope, vectors: Vectors) -> list[Memory]:
        chosen = await self._chooser.choose(scope, [], past=False)
        large = chosen.size.rows if chosen.way == "indexes" else None
        return await nearest(self._database, self._generation, scope, vectors, SHOWN, large=large)

    async def carry_out(
        self, conn: Connection, scope: Scope, decided: Decided, replaced: Sequence[UUID] = ()
    ) -> Written:
        """Write the decisions in the caller's transaction.

        ``replaced`` are the messages themselves, stored while the model was away: they are buried, linked to what
        came of them. Raises :class:`Overtaken` when one of them has changed meanwhile, when a memory that was found to
        say a fact already has, and when one that the model was shown is erased: what it says might quote it.
        """
        await facts.alone(conn, scope)
        supersedes = {n: d for n, d in enumerate(decided.found.decisions) if isinstance(d, Supersede)}
        marks = [new.fingerprint for new in decided.ready.values()]
        said = await facts.known(conn, scope, marks) if marks else {}
        # All at once and in one order, so that no two transactions wait for each other.
        concerned = {*decided.shown, *replaced, *(memory_id for memory_id, _ in said.values())}
        if await versions.lock(conn, scope, list(concerned)) < len(concerned):
            raise Overtaken
        if replaced and len(await facts.waiting(conn, scope.project, replaced)) < len(replaced):
            raise Overtaken
        also = {"backfill_of": [str(memory_id) for memory_id in replaced]} if replaced else {}
        ready = {n: replace(new, provenance=new.provenance | also) for n, new in decided.ready.items()}
        outcomes: dict[int, Outcome] = {}
        changed: list[tuple[UUID, int]] = []
        for place, decision in supersedes.items():
            if outcome := await self._supersede(conn, scope, decided, decision.target, ready[place]):
                outcomes[place] = outcome
                changed.append((outcome.id, outcome.version))
            else:
                ready[place] = _linked(ready[place], decision.target)
        fresh = {n: new for n, new in ready.items() if n not in outcomes}
        known = await facts.known(conn, scope, [new.fingerprint for new in fresh.values()]) if fresh else {}
        survivors = {n: known[new.fingerprint] for n, new in fresh.items() if new.fingerprint in known}
        survivors |= {
            n: (d.survivor, decided.shown[d.survivor])
            for n, d in enumerate(decided.found.decisions)
            if isinstance(d, Nothing)
        }
        if known:  # also those that came since
            await versions.lock(conn, scope, [survivor for survivor, _ in known.values()])
        prolonged: dict[UUID, int] = {}
        for place, (survivor, version) in survivors.items():
            version = prolonged.get(survivor, version)
            confirmed = await facts.confirm(conn, scope, survivor, version, _confirmation(decided, place) | also)
            if confirmed is None:
                if place not in fresh:  # no memory says the fact any more, and nothing was made ready to be added
                    raise Overtaken
                continue
            expires_at = decided.conversation.expires_at
            if _outlives(expires_at, confirmed.expires_at):
                version = await versions.prolong(conn, self._generation, scope, survivor, version, expires_at)
                prolonged[survivor] = version
            outcomes[place] = Outcome(survivor, confirmed.text, "NONE", version)
        changed += prolonged.items()
        added = {n: new for n, new in fresh.items() if n not in outcomes}
        if added:
            thread = thread_of(scope, len(added))
            await versions.insert_first(conn, self._generation, scope, thread, list(added.values()))
            outcomes |= {n: Outcome(new.id, new.text) for n, new in added.items()}
            changed += [(new.id, 1) for new in added.values()]
        answer = [outcome for _, outcome in sorted(outcomes.items())]
        if replaced:
            note = {
                "key": decided.conversation.actor,
                "inference": "done",
                "superseded_by": [str(i) for i in dict.fromkeys(outcome.id for outcome in answer)],
            }
            changed += await versions.bury(conn, self._generation, scope, replaced, note)
        return Written(answer, changed)

    async def keep_back(
        self, conn: Connection, scope: Scope, conversation: Conversation, sources: Sequence[UUID], suspect: Suspect
    ) -> tuple[UUID | None, list[tuple[UUID, int]]]:
        """Hold a conversation that was stored as it was said, or (``None``) refuse it; in the caller's transaction.

        Either way its messages are buried: what was made of them is no more let in than they would have been with it.
        Raises :class:`Overtaken` when one of them has changed meanwhile.
        """
        await versions.lock(conn, scope, list(sources))
        if len(await facts.waiting(conn, scope.project, sources)) < len(sources):
            raise Overtaken
        note: dict[str, Any] = {"key": conversation.actor, "inference": "refused"}
        review = None
        if await self._gate.mode(scope.project) == "hold":
            review = (await self._gate.hold(conn, _kept(scope, conversation, sources, suspect), suspect.findings)).id
            note = note | {"inference": "held", "review": str(review)}
        return review, await versions.bury(conn, self._generation, scope, sources, note)

    async def _supersede(
        self, conn: Connection, scope: Scope, decided: Decided, target: UUID, new: NewVersion
    ) -> Outcome | None:
        """End the target's version for a new one.

        ``None`` when it is no longer what the model was shown, or would be gone with a fact that expires before it.
        """
        head = await versions.head(conn, scope, target)
        if head is None or head.memory.version != decided.shown[target]:
            return None
        if _outlives(head.memory.expires_at, new.expires_at):
            return None
        following = replace(
            new,
            id=target,
            metadata={**head.memory.metadata, **new.metadata},
            provenance=new.provenance | {"supersedes": head.memory.version},
        )
        memory = await versions.insert_next(conn, self._generation, head, following)
        await inferences.settle(conn, scope.project, [target])
        return Outcome(memory.id, memory.text, "UPDATE", memory.version, previous=head.memory.text)


def _draft(decision: Add | Supersede, conversation: Conversation) -> Draft:
    fact = decision.fact
    return Draft(
        text=fact.text,
        event_time=fact.event_time or conversation.observed_at,
        role=fact.role,
        speaker=fact.speaker,
        metadata=conversation.metadata,
        provenance={
            "key": conversation.actor,
            "verbatim": False,
            "inference": "done",
            "sources": _sources(conversation, fact.sources),
            "linked": [str(memory_id) for memory_id in fact.linked],
            "grounded": fact.grounded,
        },
        expires_at=conversation.expires_at,
        extraction=fact.extraction,
    )


def _words(drafts: Sequence[Draft]) -> Iterator[tuple[str, str]]:
    """All that the model says, by field."""
    for place, draft in enumerate(drafts):
        yield f"facts.{place}", draft.text
        for n, entity in enumerate(draft.extraction.entities):
            yield f"facts.{place}.entities.{n}", entity.name
        for n, stated in enumerate(draft.extraction.relations):
            yield f"facts.{place}.relations.{n}", stated.predicate


def _kept(scope: Scope, conversation: Conversation, sources: Sequence[UUID], suspect: Suspect) -> Kept:
    """A conversation as the add that it came with."""
    said = {
        "messages": [
            {"role": turn.role, "content": turn.content} | ({"name": turn.name} if turn.name else {})
            for turn in conversation.turns
        ],
        "metadata": dict(conversation.metadata),
        "timestamp": conversation.observed_at.isoformat(),
        "expires_at": conversation.expires_at and conversation.expires_at.isoformat(),
        "prompt": conversation.instructions,
        "includes": conversation.includes,
        "excludes": conversation.excludes,
    }
    return Kept(
        kind="add",
        scope=scope,
        request={name: value for name, value in said.items() if value is not None},
        actor=conversation.actor,
        facts=suspect.facts,
        source_ids=sources,
    )


def _linked(new: NewVersion, other: UUID) -> NewVersion:
    return replace(new, provenance=new.provenance | {"linked": [*new.provenance["linked"], str(other)]})


def _outlives(one: datetime | None, other: datetime | None) -> bool:
    """Whether the first of two expiries is later; ``None``: never."""
    return other is not None and (one is None or one > other)


def _confirmation(decided: Decided, place: int) -> dict[str, Any]:
    decision, conversation = decided.found.decisions[place], decided.conversation
    sources = decision.sources if isinstance(decision, Nothing) else decision.fact.sources
    return {
        "key": conversation.actor,
        "at": datetime.now(UTC).isoformat(),
        "sources": _sources(conversation, sources),
    }


def _sources(conversation: Conversation, places: Sequence[int]) -> list[str]:
    """What a fact was read from, without its text."""
    return [text_hash(conversation.turns[place].content) for place in places]


def to_json(scope: Scope, conversation: Conversation) -> dict[str, Any]:
    """All of a conversation but its turns, as it waits in the database."""
    values = asdict(replace(conversation, turns=()))
    del values["turns"]
    values["observed_at"] = conversation.observed_at.isoformat()
    values["expires_at"] = conversation.expires_at.isoformat() if conversation.expires_at else None
    return {"scope": asdict(scope), "conversation": values}


def from_json(stored: Mapping[str, Any], turns: Sequence[Message]) -> tuple[Scope, Conversation]:
    """The scope and conversation of :func:`to_json`, with the turns that still wait."""
    values = dict(stored["conversation"])
    for name in ("observed_at", "expires_at"):
        values[name] = datetime.fromisoformat(values[name]) if values[name] else None
    return Scope(**stored["scope"]), Conversation(turns=turns, **values)
