"""Finds what looks like a secret or like an instruction planted for whoever reads a memory later. Pure.

A finding is a kind and a place, never what was found: it may be logged and answered. Patterns are of forms that their
issuers document, or that ordinary talk does not use; a test holds a labelled corpus against them.

Whoever writes a text may have chosen it to take long, so the time grows with its length alone: no pattern reads far on
from each of many places where it could begin. Another test holds hostile texts against them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Literal, NamedTuple

from memsys_api.quarantine.chains import Chain, Span, leftmost
from memsys_api.quarantine.reading import as_read, places

Kind = Literal[
    "api-key",
    "private-key",
    "token",
    "password",
    "card-number",
    "planted-instruction",
    "markup",
    "hidden-text",
]


Texts = Iterable[tuple[str, str]]
"""Texts, each after the name of its field; fields of one name are looked at one by one."""


class Finding(NamedTuple):
    """One place in one field of a write."""

    kind: Kind
    field: str
    start: int
    end: int


_API_KEY = re.compile(
    r"\b(?:"
    r"(?:AKIA|ASIA)[0-9A-Z]{16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}"  # GitHub
    r"|glpat-[A-Za-z0-9_-]{20,}"  # GitLab
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}"  # Slack
    r"|sk-(?:proj-|svcacct-|ant-[a-z0-9]+-)?[A-Za-z0-9_-]{20,}"  # OpenAI, Anthropic
    r"|AIza[0-9A-Za-z_-]{35}"  # Google
    r"|[rs]k_(?:live|test)_[0-9A-Za-z]{16,}"  # Stripe
    r"|hf_[A-Za-z0-9]{30,}"  # Hugging Face
    r"|npm_[A-Za-z0-9]{36}|pypi-AgEI[A-Za-z0-9_-]{50,}"  # registries of packages
    r"|SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"  # SendGrid
    r"|msk_[0-9A-Za-z]{12}_[0-9A-Za-z]{32}"  # this server's own
    r")"
)
_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_BASE64 = r"[A-Za-z0-9_-]"
# From the beginning of its first part, which is looked through once, and only where all that follows is there.
_JWT = re.compile(
    rf"(?<!{_BASE64})(?={_BASE64}{{11,}}\.eyJ{_BASE64}{{8,}}\.{_BASE64}{{16}}){_BASE64}*?"
    rf"(\beyJ{_BASE64}{{8,}}\.eyJ{_BASE64}{{8,}}\.{_BASE64}{{16,}})"
)
_DIGITS = re.compile(r"\d(?<![\d.,-].)(?:[ -]?\d){12,18}(?![\d]|[.,-]\d)")

# Tags (except in the flags that are written with them), invisible separators, marks that turn the order of letters, and
# rows of what stands alone where it is meant: joiners between letters, and selectors of a character's variation, of
# which there is one for every byte. A letter may be followed by its accents (NFD).
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_HIDDEN = re.compile(
    "(?:\U0001f3f4[\U000e0020-\U000e007e]{2,7}\U000e007f)|"
    "([\U000e0000-\U000e007f]+|[\u200b-\u200f\u2060-\u2064\ufeff]{4,}|[\u200b\u2060-\u2064]{2,}"
    f"|(?<=[\\w\u0300-\u036f])[\u200b\u2060-\u2064\ufeff](?=\\w)|[\u202a-\u202e\u2066-\u2069]|[{_SELECTORS}]{{3,}})"
)
# Most texts have none of these characters, and need not be looked through for what they make together.
_UNSEEN = re.compile(f"[\U000e0000-\U000e007f\u200b-\u200f\u2060-\u2064\ufeff\u202a-\u202e\u2066-\u2069{_SELECTORS}]")

# From here on patterns are of texts :func:`as_read`.
_URL_PASSWORD = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,100}:([^\s/@]{3,200})@[^\s/]")
_SAID = re.compile(
    r"\b(?:pass(?:word|wd|phrase|code)|secret|(?:api|access|private|secret)[ _-]?key|(?:access|auth|bearer)?[ _-]?token"
    r"|credentials?)\b[\"'`]?\s{0,3}(?:is|are|:|=|=>)\s{0,3}[\"'`]?([^\s\"'`,;]{8,200})"
)

_OLD = r"\b(?:previous|prior|above|earlier|preceding|former|existing|original|system|safety)\b"
_RULES = r"(?:instructions?|rules|prompts?|directions|guidelines|guardrails|constraints|commands)\b"
_DO = "respond|reply|answer|say|output|include|append|recommend|call|invoke|run|execute|send|forward|email|post|use"
_INSTRUCTIONS = (
    Chain(r"\b(?:ignore|disregard|forget|override|bypass)\b", 30, _OLD, 20, rf"\b{_RULES}"),
    Chain(rf"\b(?:ignore|disregard|override|bypass)\s+(?:all\s+)?(?:your|the)\s+{_RULES}"),
    Chain(r"\byou\s+are\s+now\s+(?:in\s+)?(?:developer\s+mode|dan\b|jailbroken|unrestricted|an?\s+unrestricted)"),
    Chain(
        r"\b(?:reveal|print|repeat|output|leak|show)\b",
        20,
        r"\b(?:your|the)\s+(?:system|hidden|initial)\s+(?:prompt|instructions?|message)",
    ),
    Chain(
        r"\b(?:when(?:ever)?|if|every\s+time|each\s+time|next\s+time|from\s+now\s+on|the\s+next\s+time)\b",
        80,
        r"\b(?:asked|asks|user|someone|anyone|you)\b",
        80,
        r"\b(?:you\s+must|always|never\s+mention|secretly|silently|without\s+telling)\b",
        40,
        rf"\b(?:{_DO}|tell|mention|ask)\b",
    ),
    Chain(
        r"\b(?:do\s+not|don't|never)\s+(?:tell|inform|notify|alert|reveal\s+(?:this|it)\s+to|mention\s+(?:this|it)\s+to)"
        r"\s+(?:the\s+)?(?:user|operator|developer|human)"
    ),
    Chain(
        r"\b(?:as\s+an?|attention|note\s+to|message\s+(?:to|for))\s+(?:the\s+)?(?:ai|llm|language\s+model|assistant|agent)\b",
        60,
        rf"\b(?:must|always|{_DO})\b",
    ),
)
_MARKUP = re.compile(
    r"<\|[a-z_]{2,20}\|>|\[/?inst\]|<</?sys>>"
    r"|\{\s*\"(?:tool_calls?|function_call)\"\s*:"
    r"|^#{1,3}\s*(?:system|developer)\s*(?:(?:prompt|message|instructions?)\s*)?:",
    re.MULTILINE,
)
_TAG = re.compile(
    r"</?(?:system|tool_call|tool_calls|tool_result|function_call|function_calls|function_results|invoke|tool_use)\b[^>]*>"
)

MOST = 100
"""Findings of a kind: whoever reviews a write needs no more, and one may be made of nothing else."""


def inspect(texts: Texts) -> list[Finding]:
    """What of these texts is suspect, in the order of their fields: of each kind the first :data:`MOST` met with."""
    found: set[Finding] = set()
    met = Counter[Kind]()
    for field, text in texts:
        for finding in _of(field, text):
            if met[finding.kind] < MOST and finding not in found:
                met[finding.kind] += 1
                found.add(finding)
    return sorted(found, key=lambda finding: (finding.field, finding.start, finding.end, finding.kind))


def kinds(findings: Iterable[Finding]) -> list[Kind]:
    """The kinds among findings, each once."""
    return sorted({finding.kind for finding in findings})


def kinds_in(value: Any, known: dict[str, list[Kind]]) -> list[Kind]:
    """The kinds of what is suspect anywhere in a JSON value, each once.

    ``known`` are those of the texts that were looked at before, and is added to: values often have parts in common.
    """
    if isinstance(value, str):
        if value not in known:
            known[value] = kinds(_of("", value))
        return known[value]
    if isinstance(value, Mapping):
        parts: Iterable[Any] = (part for pair in value.items() for part in pair)
    else:
        parts = value if isinstance(value, list) else ()
    return sorted({kind for part in parts for kind in kinds_in(part, known)})


def texts_of(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Every string in a JSON value by its path, names too: these by ``*``, as paths name them that are suspect."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield _path(field, "*"), name
            yield from texts_of(part, _path(field, "*" if any(_of(field, name)) else name))
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from texts_of(part, _path(field, place))


def _path(field: str, part: object) -> str:
    return f"{field}.{part}" if field else str(part)


def _of(field: str, text: str) -> Iterator[Finding]:
    if len(text) < 13 and text.isascii() and text.isidentifier():
        return  # a short word, as most names are, is too short for any pattern
    read = as_read(text)
    for kind, spans in (
        ("api-key", _spans(_API_KEY, text)),
        ("private-key", _spans(_PRIVATE_KEY, text)),
        ("token", _spans(_JWT, text, 1) if ".eyJ" in text else ()),
        ("planted-instruction", _back(text, read, leftmost(s for chain in _INSTRUCTIONS for s in chain.spans(read)))),
        ("markup", _back(text, read, leftmost(_markup(read)))),
        ("hidden-text", _spans(_HIDDEN, text, 1) if _UNSEEN.search(text) else ()),
        ("password", _back(text, read, _spans(_URL_PASSWORD, read, 1)) if "://" in read else ()),
    ):
        for start, end in islice(spans, MOST):
            yield Finding(kind, field, start, end)  # type: ignore[arg-type]
    for start, end in _back(text, read, _spans(_SAID, read, 1)):
        if _random(text[start:end]):
            yield Finding("password", field, start, end)
    for start, end in _spans(_DIGITS, text):
        if _card(re.sub(r"\D", "", text[start:end])):
            yield Finding("card-number", field, start, end)


def _back(text: str, read: str, spans: Iterable[Span]) -> Iterator[Span]:
    """Where in the text places in what it reads as stand."""
    stands: list[int] | None = None
    for start, end in spans:
        if len(read) < len(text):
            stands = stands or places(text)
            start, end = stands[start], stands[end - 1] + 1
        yield start, end


def _spans(pattern: re.Pattern[str], text: str, group: int = 0) -> Iterator[Span]:
    """Where a group of the pattern stands in each match that has it."""
    return (match.span(group) for match in pattern.finditer(text) if match[group] is not None)


def _markup(text: str) -> Iterator[Span]:
    yield from _spans(_MARKUP, text)
    for match in _TAG.finditer(text, 0, text.rfind(">") + 1):  # behind the last ">" each tag would be read to the end
        yield match.span()


def _random(word: str) -> bool:
    """Whether a word after "password is" was made to be one: of mixed characters, in no order that a word has."""
    classes = sum(bool(re.search(pattern, word)) for pattern in (r"[a-z]", r"[A-Z]", r"\d", r"[^\w.]"))
    counts = Counter(word)
    entropy = -sum(n / len(word) * math.log2(n / len(word)) for n in counts.values())
    return bool(re.search(r"\d", word)) and classes >= 2 and entropy >= 2.5 and "://" not in word


def _card(digits: str) -> bool:
    """Whether digits are a payment card's: first digits, length, and Luhn's check (ISO/IEC 7812-1)."""
    if not 13 <= len(digits) <= 19 or digits[0] not in "3456" or len(set(digits)) < 2:
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
