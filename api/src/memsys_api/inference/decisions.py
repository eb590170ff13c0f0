"""From what the model answered to decisions that can be carried out. Pure; nothing in the answer is trusted.

The model sees existing memories under small numbers and cannot name any other: unknown numbers are dropped. Who spoke
is read from the cited messages, not from the model. A fact that an existing memory already states word for word is
found again whatever the model decided, and only a grounded, later statement may end a memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from memsys_api.inference.answers import RawFact, moment, raw_facts
from memsys_api.inference.entities import extraction
from memsys_api.inference.fingerprint import fingerprint
from memsys_api.inference.grounding import grounded, units
from memsys_api.inference.types import Add, Decision, Dropped, Fact, Message, Nothing, Role, Supersede
from memsys_api.model import Memory

MOST_FACTS = 50  # of one call
LONGEST_FACT = 2_000  # characters; the model is asked for 80 words
MOST_LINKS = 10  # of one fact
_SHOWN_OF_DROPPED = 200  # characters


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the model was shown, and what is known beside it.

    ``observed_at`` is when the conversation took place, ``now`` is when it is read (both aware). ``names`` says who
    speaks as user and as assistant where a message has no name. ``normalise`` makes the key of an entity's name.
    """

    messages: Sequence[Message]
    existing: Sequence[Memory]
    observed_at: datetime
    now: datetime
    normalise: Callable[[str], str]
    names: Mapping[Role, str | None]
    context: Sequence[Message] = ()


def decide(answer: object, conversation: Conversation) -> tuple[tuple[Decision, ...], tuple[Dropped, ...]]:
    """Return the decisions, and what was not used. Raises :class:`~.answers.WrongForm` for another form of answer."""
    decided: list[Decision] = []
    dropped: list[Dropped] = []
    word_for_word = {fingerprint(memory.text): memory for memory in reversed(conversation.existing)}
    position: dict[str, int] = {}  # of a fingerprint in `decided`
    ended: set[UUID] = set()
    for raw in raw_facts(answer):
        if problem := _unusable(raw, len(decided)):
            dropped.append(Dropped(problem, raw.text[:_SHOWN_OF_DROPPED]))
            continue
        mark = fingerprint(raw.text)
        sources = _sources(raw, conversation.messages)
        if mark in position:
            decided[position[mark]] = _with_sources(decided[position[mark]], sources)
            continue
        position[mark] = len(decided)
        named = _known(raw.memory_id, conversation.existing)
        survivor = word_for_word.get(mark) or _found_again(raw, named)
        if survivor is not None:
            decided.append(Nothing(survivor.id, survivor.text, sources))
            continue
        fact = _fact(raw, mark, sources, conversation)
        links = [memory.id for number in raw.linked if (memory := _known(number, conversation.existing))]
        if named is not None and named.id not in ended and _ends(raw, fact, named, conversation):
            ended.add(named.id)
            decided.append(Supersede(named.id, replace(fact, linked=_links(links, without=named.id))))
        else:
            decided.append(Add(replace(fact, linked=_links([named.id, *links] if named else links))))
    return tuple(decided), tuple(dropped)


def _fact(raw: RawFact, mark: str, sources: tuple[int, ...], conversation: Conversation) -> Fact:
    first = conversation.messages[sources[0]]
    role: Role = "assistant" if first.role == "assistant" else "user"
    names = {**conversation.names, role: first.name or conversation.names.get(role)}
    said = [message.content for message in (*conversation.messages, *conversation.context) if message.role != "system"]
    return Fact(
        text=raw.text,
        fingerprint=mark,
        sources=sources,
        role=role,
        speaker=first.name,
        event_time=moment(raw.event_date),
        extraction=extraction(raw.entities, raw.relations, names=names, normalise=conversation.normalise),
        linked=(),
        grounded=grounded(raw.text, said),
    )


def _found_again(raw: RawFact, named: Memory | None) -> Memory | None:
    """The memory that the model says states the fact already: believed only if the two have words in common."""
    return named if named and raw.decision == "none" and grounded(raw.text, [named.text]) else None


def _ends(raw: RawFact, fact: Fact, named: Memory, conversation: Conversation) -> bool:
    """Whether the fact may end the memory: it was really said, and not before the memory was.

    What was stored before the conversation took place was said before it, even if it is about a later day. Old
    conversations that are read in late meet memories that are newer than they are.
    """
    observed_at = conversation.observed_at
    said_later = named.created_at > observed_at and observed_at < named.event_time <= conversation.now
    return raw.decision == "supersede" and fact.grounded and not said_later


def _unusable(raw: RawFact, used: int) -> str:
    if not any(character.isalnum() for character in raw.text):
        return "the text is empty"
    if len(raw.text) > LONGEST_FACT:
        return f"the text is longer than {LONGEST_FACT} characters"
    if used >= MOST_FACTS:
        return f"more than {MOST_FACTS} facts"
    return ""


def _known(number: int | None, existing: Sequence[Memory]) -> Memory | None:
    return existing[number] if number is not None and 0 <= number < len(existing) else None


def _sources(raw: RawFact, messages: Sequence[Message]) -> tuple[int, ...]:
    """The cited messages; where the model cites none that exists, the one that shares most with the text."""
    spoken = [number for number, message in enumerate(messages) if message.role != "system"]
    cited = tuple(dict.fromkeys(number for number in raw.messages if number in spoken))
    if cited:
        return cited
    own = units(raw.text)
    of_role = [number for number in spoken if messages[number].role == raw.attributed_to] or spoken
    return (max(of_role, key=lambda number: len(own & units(messages[number].content))),)


def _links(ids: Sequence[UUID], *, without: UUID | None = None) -> tuple[UUID, ...]:
    return tuple(dict.fromkeys(id for id in ids if id != without))[:MOST_LINKS]


def _with_sources(decision: Decision, sources: tuple[int, ...]) -> Decision:
    if isinstance(decision, Nothing):
        return replace(decision, sources=tuple(dict.fromkeys(decision.sources + sources)))
    fact = replace(decision.fact, sources=tuple(dict.fromkeys(decision.fact.sources + sources)))
    return replace(decision, fact=fact)
