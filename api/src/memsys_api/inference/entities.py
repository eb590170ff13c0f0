"""Entities and relations as the model named them into those of the project. Pure.

"User" and "Assistant" are roles, not names: in a project with many users, one node of that name would tie all of them
together. They become the speaker's name or id, and without either they are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from memsys_api.inference.answers import moment
from memsys_api.inference.types import Role
from memsys_api.model import Entity, Extraction, Relation
from memsys_api.normal_forms import composed

MOST_ENTITIES = 20  # of one fact
MOST_RELATIONS = 20
LONGEST_NAME = 120  # characters; what is longer is a sentence
LONGEST_PREDICATE = 60

_ROLES: dict[str, Role] = {
    "user": "user", "the user": "user", "i": "user", "me": "user", "myself": "user", "speaker": "user",
    "assistant": "assistant", "the assistant": "assistant", "agent": "assistant", "ai": "assistant",
}  # fmt: skip
_NO_NAMES = {"he", "she", "it", "they", "we", "you", "him", "her", "them", "us", "this", "that", "these", "those"}
_NO_NAMES |= {"someone", "something", "everyone", "none", "null", "n/a", "unknown"}


def extraction(
    entities: Sequence[tuple[str, str]],
    relations: Sequence[tuple[str, str, str, str | None, str | None]],
    *,
    names: Mapping[Role, str | None],
    normalise: Callable[[str], str],
) -> Extraction:
    """Return entities with unique keys, and the relations between them; ends of relations are entities too.

    ``names`` says who the user and the assistant are, ``normalise`` makes the key of a name ("" for none).
    """
    found: dict[str, Entity] = {}

    def key_of(name: str, kind: str) -> str | None:
        name = composed(name)
        role = _ROLES.get(name.casefold())
        if role is not None:
            name, kind = composed(names.get(role) or ""), "person" if role == "user" else "agent"
        if not name or len(name) > LONGEST_NAME or name.casefold() in _NO_NAMES:
            return None
        key = normalise(name)
        if not key or (key not in found and len(found) >= MOST_ENTITIES):
            return None
        found.setdefault(key, Entity(key, name, _word(kind) or "entity"))
        return key

    for name, kind in entities:
        key_of(name, kind)
    stated: dict[tuple[str, str, str], Relation] = {}
    for subject, predicate, object_, valid_from, valid_to in relations:
        verb = _word(predicate)
        subject_key, object_key = key_of(subject, ""), key_of(object_, "")
        if verb and subject_key and object_key and subject_key != object_key and len(stated) < MOST_RELATIONS:
            start, end = moment(valid_from), moment(valid_to)
            if start and end and end < start:
                start = end = None
            stated.setdefault((subject_key, verb, object_key), Relation(subject_key, verb, object_key, start, end))
    return Extraction(tuple(found.values()), tuple(stated.values()))


def _word(text: str) -> str:
    """Lower snake case, letters of any script: "Lives in" -> "lives_in"."""
    return "_".join(re.findall(r"[^\W_]+", composed(text).casefold()))[:LONGEST_PREDICATE].strip("_")
