"""What a text speaks of, read without a model: entities and plain relations. Pure: no I/O, no clock, no randomness."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import pairwise

from memsys_api.extraction.entities import find_entities
from memsys_api.extraction.names import CAPITAL, FUNCTION_WORDS, OPENERS, is_common, normalise
from memsys_api.extraction.relations import find_relations
from memsys_api.model import Entity, Extraction
from memsys_api.normal_forms import composed

__all__ = ["extract", "normalise", "query_entities", "spoken"]

MOST_QUERY_ENTITIES = 48
_QUERY_CHARACTERS = 2000
_PREFIX = re.compile(rf"(?P<name>{CAPITAL}[\w’'-]{{1,30}}(?: {CAPITAL}[\w’'-]{{1,30}}){{0,2}})(?: said)?:")
_PREFIX_CHARACTERS = 500  # such a name fits, each of its letters with all of its marks
_ADDRESSES = re.compile(r"\b(?:I|I['’]\w+|me|my|we|we['’]\w+|our|you|you['’]\w+|your)\b", re.I)
_WORD = re.compile(r"[^\W_]+(?:['’.@&_/-][^\W_]+)*")


def extract(text: str, *, speaker: str | None = None, event_time: datetime | None = None) -> Extraction:
    """Return the entities that ``text`` names, ``speaker`` first as a person, and the relations that it states.

    ``event_time`` is when it was said; relations are valid from then on. Never raises, whatever the text.
    """
    found: dict[str, Entity] = {}
    said = text = composed(text)
    if speaker is None:
        speaker, said = spoken(text)
    who = _person(speaker)
    if who is not None:
        found[who.key] = who
    for entity in find_entities(said):
        found.setdefault(entity.key, entity)
    relations = []
    for relation, *ends in find_relations(said, speaker=who, event_time=event_time):
        relations.append(relation)
        for entity in ends:
            known = found.get(entity.key)
            if known is None or (entity.kind == "person" and known.kind == "entity"):
                found[entity.key] = entity
    return Extraction(tuple(found.values()), tuple(relations))


def spoken(text: str) -> tuple[str | None, str]:
    """Split "Caroline: I went there" into ``("Caroline", "I went there")``; ``(None, text)`` when nobody is named so.

    The name is composed (NFC), what was said is left as it is.

    "Note: the key is under the mat" and "Python: the language" are no speech: a speaker says I, we or you.
    """
    match = _PREFIX.match(composed(text[:_PREFIX_CHARACTERS]))
    if match is None or is_common(match["name"].split()[0]):
        return None, text
    said = text.partition(":")[2].removeprefix(" ")
    return (match["name"], said) if _ADDRESSES.search(composed(said)[:2000]) else (None, text)


def query_entities(text: str) -> list[str]:
    """Return the keys of what a question may name, likeliest first: its names, then its words and pairs of words.

    Generous on purpose ("where does anna live" has no capitals): the keys are only looked up.
    """
    text = composed(text)[:_QUERY_CHARACTERS]
    keys = {entity.key: None for entity in find_entities(text)}
    words = [normalise(word) for word in _WORD.findall(text)]
    kept = [word if len(word) > 1 and word not in FUNCTION_WORDS else "" for word in words]
    for word in kept:
        if word and word not in OPENERS:
            keys.setdefault(word)
    for first, second in pairwise(kept):
        if first and second:
            keys.setdefault(f"{first} {second}")
    return list(keys)[:MOST_QUERY_ENTITIES]


def _person(name: str | None) -> Entity | None:
    name = composed(name or "")
    key = normalise(name)
    return Entity(key=key, name=name.strip(), kind="person") if key else None
