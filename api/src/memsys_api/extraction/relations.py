"""Reads simple facts between two named things out of sentences that state them plainly. Pure and linear.

Precision before recall: a question, a condition or a negation states nothing; a pronoun is nobody. The subject of
"I" and "my" is the speaker, when there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from memsys_api.extraction import aliases
from memsys_api.extraction.entities import READ_CHARACTERS
from memsys_api.extraction.names import CAPITAL, FUNCTION_WORDS, is_common, normalise
from memsys_api.model import UNSPECIFIC, Entity, Relation

MOST_RELATIONS = 32

_NAME = rf"{CAPITAL}[\w&.’'-]{{0,40}}(?: (?:of |de |van |von )?{CAPITAL}[\w&.’'-]{{0,40}}){{0,3}}"
_KIN = (
    "wife|husband|partner|girlfriend|boyfriend|fiancée?|sister|brother|mother|mom|mum|father|dad|son|daughter|cousin|"
    "aunt|uncle|niece|nephew|grandmother|grandma|grandfather|grandpa|boss|manager|colleague|coworker|friend|roommate|"
    "neighbou?r|teacher|doctor|dog|cat"
)
_SENTENCE_BREAK = re.compile(r"(?<=[.!?])\s+|\n+")
SENTENCE_CHARACTERS = 400  # of a longer sentence only the beginning is read
_STATES_NOTHING = re.compile(
    r"\b(?:if|unless|would|could|might|maybe|perhaps|wish|never|not|no longer|used to)\b|n['’]t\b", re.I
)
_CUE = re.compile(
    rf"\b(?:work|live|living|move|from|married|use|prefer|like|love|enjoy|hate|dislike)(?:s|d|ed|ing)?\b|\b(?:{_KIN})\b"
)
_DETERMINER = re.compile(r"^(?:the|an?|my|our|his|her|their) ", re.I)
_SPOUSES = {"wife", "husband"}

_VERBS: tuple[tuple[str, str, str], ...] = (
    # predicate, after "I", after a name
    ("works_at", r"(?:['’]ve |have )?(?:work|worked|working|started working)(?: \w+)? (?:at|for)", r"works (?:at|for)"),
    ("lives_in", r"(?:live|['’]m living|am living) in", r"lives in"),
    ("moved_to", r"(?:just |recently )?moved to", r"(?:just |recently )?moved to"),
    ("comes_from", r"(?:['’]m|am|come) from", r"(?:is|comes) from"),
    ("married_to", r"(?:['’]m|am) married to", r"is married to"),
)
_TASTES: tuple[tuple[str, str, str], ...] = (
    ("uses", r"(?:now |always |usually )?use", r"(?:now |always |usually )?uses"),
    ("prefers", r"(?:really )?prefer", r"(?:really )?prefers"),
    ("likes", r"(?:really |absolutely )?(?:like|love|enjoy)", r"(?:really |absolutely )?(?:likes|loves|enjoys)"),
    ("dislikes", r"(?:really )?(?:hate|dislike)", r"(?:really )?(?:hates|dislikes)"),
)
_THING = (
    r"(?P<object>[\w+#.’'-]{2,40}(?: [\w+#.’'-]{2,40}){0,2}?)"
    r"(?=[,;!]|[.](?!\d)|$| (?:and|but|because|for|over|more|when|with|as|to|so|every|a lot|at|in|on)\b)"
)


def _patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    subject = rf"(?<![\w’'])(?P<subject>{_NAME})"
    for predicate, first, third in _VERBS:
        yield predicate, re.compile(rf"(?<![\w’'])(?P<subject>I) ?{first} (?P<object>{_NAME})")
        yield predicate, re.compile(rf"{subject} {third} (?P<object>{_NAME})")
    for predicate, first, third in _TASTES:
        yield predicate, re.compile(rf"(?<![\w’'])(?P<subject>I) {first} {_THING}")
        yield predicate, re.compile(rf"{subject} {third} {_THING}")
    yield "kin", re.compile(rf"(?<!\w)(?P<subject>[Mm]y) (?P<kin>{_KIN}),? (?P<object>{_NAME})")
    yield "kin", re.compile(rf"(?<![\w’'])(?P<subject>{_NAME})['’]s (?P<kin>{_KIN}),? (?P<object>{_NAME})")
    yield from aliases.patterns(_NAME)


_PATTERNS = tuple(_patterns())


def find_relations(
    text: str, *, speaker: Entity | None, event_time: datetime | None
) -> Iterator[tuple[Relation, Entity, Entity]]:
    """Yield each relation with its two ends, valid from ``event_time``; at most :data:`MOST_RELATIONS`."""
    seen: set[tuple[str, str, str]] = set()
    for sentence in _SENTENCE_BREAK.split(text[:READ_CHARACTERS]):
        said = sentence[:SENTENCE_CHARACTERS]
        if sentence.endswith("?") or not (_CUE.search(said) or aliases.CUE.search(said)):
            continue
        if _STATES_NOTHING.search(said):
            continue
        for predicate, pattern in _PATTERNS:
            for match in pattern.finditer(said):
                ends = _ends(match, speaker, predicate)
                if ends is None or not aliases.is_plain(match, ends[0]):
                    continue
                name = match["kin"].casefold() if predicate == "kin" else predicate
                name = "married_to" if name in _SPOUSES else name
                statement = (ends[0].key, name, ends[1].key)
                if statement not in seen and len(seen) < MOST_RELATIONS:
                    seen.add(statement)
                    yield Relation(*statement, valid_from=event_time), *ends


def _ends(match: re.Match[str], speaker: Entity | None, predicate: str) -> tuple[Entity, Entity] | None:
    first_person = match["subject"] in ("I", "My", "my", "me")
    same = predicate == aliases.ALSO_KNOWN_AS
    subject = speaker if first_person else _named(_without_opener(match["subject"]), UNSPECIFIC if same else "person")
    person = predicate == "kin" or (same and first_person)
    target = _named(_DETERMINER.sub("", match["object"]), "person" if person else UNSPECIFIC)
    if subject is None or target is None or subject.key == target.key:
        return None
    return subject, target


def _without_opener(name: str) -> str:
    """ "Yesterday Anna" works nowhere, Anna does."""
    first, _, rest = name.partition(" ")
    return rest if rest and is_common(normalise(first)) else name


def _named(text: str, kind: str) -> Entity | None:
    """``None`` for what names nothing: "it", "this idea of mine", "to swim"."""
    name = text.strip(" .,;:!?’'")
    key = normalise(name)
    words = key.split()
    if len(key) < 2 or words[0] in FUNCTION_WORDS or is_common(words[-1]):
        return None
    return Entity(key=key, name=re.sub(r"['’]s$", "", name), kind=kind)
