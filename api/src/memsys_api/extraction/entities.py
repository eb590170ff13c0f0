"""Finds what a text names, without a model: people, places, products, titles, addresses, code. Pure and linear.

Capital letters are the evidence. They prove little at the start of a sentence, so there a word counts only when it is
written with a capital elsewhere too, or when what follows it makes it a subject ("Melanie painted …").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from memsys_api.extraction.names import CAPITAL, DATE_WORDS, PARTICLES, SHOUTS, is_common, normalise, words
from memsys_api.model import Entity

READ_CHARACTERS = 20_000  # of a longer text only the beginning is searched for names
MOST_ENTITIES = 64
NAME_WORDS = 6
LONGEST_NAME = 200  # characters; what is longer is a token or a hash, and its key would be cut to another's

_SPANS = re.compile(
    r"(?P<url>https?://[^\s<>\"'`)\]]{3,500})"
    r"|(?P<email>\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}\b)"
    r"|(?P<code>`[^`\n]{2,80}`|(?<![\w/])(?:~|\.{1,2})?(?:/?[\w.-]{1,64}/){1,12}[\w-]{1,64}\.\w{1,8}\b"
    r"|\b[A-Z][A-Z0-9]{1,9}-\d{1,7}\b|\b[a-z]\w{0,40}_\w{1,40}\b(?:\(\))?|\b[A-Za-z_]\w{0,60}\(\))"
    r"|(?P<handle>(?<![\w@])@[A-Za-z0-9_][\w.-]{1,38}\w)"
    rf"|(?P<title>\"(?:{CAPITAL}|[0-9])[^\"\n]{{1,80}}\"|“(?:{CAPITAL}|[0-9])[^”\n]{{1,80}}”)"
    r"|(?P<domain>\b(?:[a-z0-9-]{1,63}\.){1,4}(?:com|org|net|io|dev|ai|app|co|edu|gov|me|info|uk|de|fr|eu)\b)"
)
_TOKEN = re.compile(rf"(?:Mr|Mrs|Ms|Dr|Prof|St)\.(?= {CAPITAL})|[^\W_]+(?:[-'’.&][^\W_]+)*['’]?|[.!?…]+|\n+|[^\w\s]")
_SENTENCE_END = re.compile(r"[.!?…]+|\n+|[:;\"“”*•>]")
_SUBJECT_FOLLOWS = words(
    """
    said says told asked works worked lived lives likes liked loves loved wants wanted uses used prefers preferred hates
    moved went got bought made took came gave goes plays played who recently
    """
)
_TITLED = words("mr mrs ms miss dr prof professor sir")


def find_entities(text: str) -> list[Entity]:
    """Return what ``text`` names, each key once, in order of appearance, at most :data:`MOST_ENTITIES`."""
    text = text[:READ_CHARACTERS]
    found: dict[str, Entity] = {}
    rest: list[str] = []
    end = 0
    for match in _SPANS.finditer(text):
        rest += [text[end : match.start()], " ␟ "]  # a separator that joins no two names
        end = match.end()
        for entity in _marked(match):
            found.setdefault(entity.key, entity)
    rest.append(text[end:])
    for name, person in find_names("".join(rest)):
        key = normalise(name) if len(name) <= LONGEST_NAME else ""
        known = found.get(key)
        if key and (known is None or (person and known.kind == "entity")):
            found[key] = Entity(key=key, name=_tidy(name), kind="person" if person else "entity")
    return list(found.values())[:MOST_ENTITIES]


def _marked(match: re.Match[str]) -> Iterator[Entity]:
    kind, text = str(match.lastgroup), match[0]
    if kind == "url":
        yield Entity(key=normalise(text.rstrip(".,;:!?/")), name=text.rstrip(".,;:!?/"), kind="url")
        kind, text = "domain", text.split("/")[2].rsplit("@")[-1].split(":")[0].removeprefix("www.")
    text = text.strip('`"“”').strip()
    if kind == "title" and len(text.split()) > 10:
        return
    if key := normalise(text):
        yield Entity(key=key, name=text, kind=kind)


def find_names(text: str) -> Iterator[tuple[str, bool]]:
    """Yield (name, whether it is surely a person's) for every run of capitalised words that names something."""
    tokens = _TOKEN.findall(text)
    inside = _capitalised_inside(tokens)
    index, starts = 0, True
    while index < len(tokens):
        token = tokens[index]
        if not _is_capitalised(token):
            starts = bool(_SENTENCE_END.fullmatch(token)) or (starts and not token[0].isalnum())
            index += 1
            continue
        end = _run_end(tokens, index)
        words = tokens[index:end]
        if starts and len(words) > 1 and is_common(words[0]):
            words, starts = words[1:], False
        titled = words[0].rstrip(".").casefold() in _TITLED and len(words) > 1
        follower = tokens[end] if end < len(tokens) else ""
        if _names(words, starts, follower, inside):
            yield " ".join(words), titled
        starts, index = False, end


def _names(words: list[str], starts: bool, follower: str, inside: set[str]) -> bool:
    if len(words) > 1:
        return not all(is_common(word) for word in words)
    (word,) = words
    plain = normalise(word)
    if len(plain) < 2 or is_common(plain) or plain in SHOUTS:
        return False
    if not starts or plain in inside or _has_inner_capital(word):
        return True
    possessive = word.endswith(("'s", "’s"))
    shaped_otherwise = plain.endswith(("ing", "ly", "ness", "tion"))
    return not shaped_otherwise and (possessive or follower in _SUBJECT_FOLLOWS or _is_past(follower))


def _is_past(word: str) -> bool:
    return len(word) > 4 and word.endswith("ed") and word.islower()


def _run_end(tokens: list[str], start: int) -> int:
    """Where the run of capitalised words that begins at ``start`` ends; "of", "van" … may stand inside."""
    end = start + 1
    while end < len(tokens) and end - start < NAME_WORDS:
        if tokens[end - 1].endswith(("'s", "’s")):
            break  # "Caroline's Porsche" is two names
        if _is_capitalised(tokens[end]) and tokens[end].casefold() not in DATE_WORDS and tokens[end] != "I":
            end += 1
        elif tokens[end] in PARTICLES and end + 1 < len(tokens) and _is_name_word(tokens[end + 1]):
            end += 2
        else:
            break
    return end


def _is_name_word(token: str) -> bool:
    return _is_capitalised(token) and not is_common(token)


def _is_capitalised(token: str) -> bool:
    return token[0].isupper() or (_has_inner_capital(token) and len(token) > 2)


def _has_inner_capital(token: str) -> bool:
    """iPhone, GitHub, PostgreSQL, LGBTQ: no capital that a sentence's start could explain."""
    return any(character.isupper() for character in token[1:].removesuffix("'S")) and any(c.isalpha() for c in token)


def _capitalised_inside(tokens: list[str]) -> set[str]:
    """Keys of words that stand capitalised somewhere inside a sentence."""
    keys = set()
    for before, token in pairwise(tokens):
        if _is_capitalised(token) and (before[0].isalnum() or before == ",") and not is_common(before):
            keys.add(normalise(token))
    return keys


def _tidy(name: str) -> str:
    return re.sub(r"['’]s?$", "", name)
