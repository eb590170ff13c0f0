"""From what the model answered to decisions that can be carried out. Pure; nothing in the answer is trusted.

The model sees existing memories under small numbers and cannot name any other: unknown numbers are dropped. Who spoke
is read from the cited messages, not from the model. A fact that an existing memory already states word for word is
found again whatever the model decided, and only a grounded, later statement may end a memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
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


def decide(answer: object, conversation: Conversation) -> tuple[tuple[Decision, ...], tuple[Dropped, ...]]:
    """Return the decisions, and what was not used. Raises :class:`~.answers.WrongForm` for another form of answer."""
    existing = conversation.existing
    word_for_word = {fingerprint(memory.text): memory for memory in reversed(existing)}
    heard = [set() if message.role == "system" else units(message.content) for message in conversation.messages]
    decided: list[Decision] = []
    dropped: list[Dropped] = []
    position: dict[str, int] = {}  # of a fingerprint in `decided`
    settled: dict[UUID, type[Decision]] = {}  # memories that a fact of this answer has ended or confirmed

    for raw in raw_facts(answer):
        mark = fingerprint(raw.text)
        sources = _sources(raw, conversation.messages, heard)
        named = _known(raw.memory_id, existing)
        survivor = word_for_word.get(mark) or _found_again(raw, named)
        if mark in position:
            decided[position[mark]] = _with_sources(decided[position[mark]], sources)
            continue
        if problem := _unusable(raw, len(decided)):
            dropped.append(Dropped(problem, raw.text[:_SHOWN_OF_DROPPED]))
            continue
        if survivor is not None and settled.get(survivor.id) is Supersede:
            dropped.append(
                Dropped("another fact of the answer supersedes what it repeats", raw.text[:_SHOWN_OF_DROPPED])
            )
            continue
        position[mark] = len(decided)
        if survivor is not None:
            settled[survivor.id] = Nothing
            decided.append(Nothing(survivor.id, survivor.text, sources))
            continue
        related = [memory for number in (raw.memory_id, *raw.linked) if (memory := _known(number, existing))]
        fact = _fact(raw, mark, sources, conversation, heard, related)
        if named is not None and named.id not in settled and _ends(raw, fact, named, conversation):
            settled[named.id] = Supersede
            links = tuple(id for id in fact.linked if id != named.id)
            decided.append(Supersede(named.id, replace(fact, linked=links)))
        else:
            decided.append(Add(fact))
    return tuple(decided), tuple(dropped)


def _fact(
    raw: RawFact,
    mark: str,
    sources: tuple[int, ...],
    conversation: Conversation,
    heard: Sequence[Set[str]],
    related: Sequence[Memory],
) -> Fact:
    first = conversation.messages[sources[0]]
    role: Role = "assistant" if first.role == "assistant" else "user"
    names = {**conversation.names, role: first.name or conversation.names.get(role)}
    known = set[str]().union(*(units(memory.text) for memory in related))
    return Fact(
        text=raw.text,
        fingerprint=mark,
        sources=sources,
        role=role,
        speaker=first.name,
        event_time=moment(raw.event_date),
        extraction=extraction(raw.entities, raw.relations, names=names, normalise=conversation.normalise),
        linked=tuple(dict.fromkeys(memory.id for memory in related))[:MOST_LINKS],
        grounded=grounded(raw.text, set[str]().union(*heard), known=known, speakers=_names_of_speakers(conversation)),
    )


def _names_of_speakers(conversation: Conversation) -> set[str]:
    """Of whoever speaks in the conversation: what the model calls them, though nobody may have said it."""
    given = (message.name for message in conversation.messages if message.role != "system")
    return set[str]().union(*(units(name) for name in (*given, *conversation.names.values()) if name))


def _found_again(raw: RawFact, named: Memory | None) -> Memory | None:
    """The memory that the model says states the fact already: believed only if the two have words in common."""
    return named if named and raw.decision == "none" and grounded(raw.text, units(named.text)) else None


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


def _sources(raw: RawFact, messages: Sequence[Message], heard: Sequence[Set[str]]) -> tuple[int, ...]:
    """The cited messages; where the model cites none that exists, the one that shares most with the text."""
    spoken = [number for number, message in enumerate(messages) if message.role != "system"]
    if cited := tuple(dict.fromkeys(number for number in raw.messages if number in spoken)):
        return cited
    own = units(raw.text)
    of_role = [number for number in spoken if messages[number].role == raw.attributed_to] or spoken
    return (max(of_role, key=lambda number: len(own & heard[number])),)


def _with_sources(decision: Decision, sources: tuple[int, ...]) -> Decision:
    if isinstance(decision, Nothing):
        return replace(decision, sources=tuple(dict.fromkeys(decision.sources + sources)))
    fact = replace(decision.fact, sources=tuple(dict.fromkeys(decision.fact.sources + sources)))
    return replace(decision, fact=fact)
