"""Finds what looks like a secret or like an instruction planted for whoever reads a memory later. Pure.

A finding is a kind and a place, never what was found: it may be logged and answered. Patterns are of forms that their
issuers document, or that ordinary talk does not use; a test holds a labelled corpus against them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

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
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}")
_URL_PASSWORD = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,100}:([^\s/@]{3,200})@[^\s/]", re.IGNORECASE)
_SAID = re.compile(
    r"\b(?:pass(?:word|wd|phrase|code)|secret|(?:api|access|private|secret)[ _-]?key|(?:access|auth|bearer)?[ _-]?token"
    r"|credentials?)\b[\"'`]?\s{0,3}(?:is|are|:|=|=>)\s{0,3}[\"'`]?([^\s\"'`,;]{8,200})",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"(?<![\d.,-])\d(?:[ -]?\d){12,18}(?![\d]|[.,-]\d)")

_OLD = r"(?:previous|prior|above|earlier|preceding|former|existing|original|system|safety)"
_RULES = r"(?:instructions?|rules|prompts?|directions|guidelines|guardrails|constraints|commands)"
_DO = (
    r"(?:respond|reply|answer|say|output|include|append|recommend|call|invoke|run|execute|send|forward|email|post|use)"
)
_INSTRUCTION = re.compile(
    r"(?:"
    rf"\b(?:ignore|disregard|forget|override|bypass)\b[^.\n]{{0,30}}\b{_OLD}\b[^.\n]{{0,20}}\b{_RULES}\b"
    rf"|\b(?:ignore|disregard|override|bypass)\s+(?:all\s+)?(?:your|the)\s+{_RULES}\b"
    r"|\byou\s+are\s+now\s+(?:in\s+)?(?:developer\s+mode|dan\b|jailbroken|unrestricted|an?\s+unrestricted)"
    r"|\b(?:reveal|print|repeat|output|leak|show)\b[^.\n]{0,20}\b(?:your|the)\s+(?:system|hidden|initial)\s+"
    r"(?:prompt|instructions?|message)"
    r"|\b(?:when(?:ever)?|if|every\s+time|each\s+time|next\s+time|from\s+now\s+on|the\s+next\s+time)\b[^.\n]{0,80}"
    r"\b(?:asked|asks|user|someone|anyone|you)\b"
    rf"[^.\n]{{0,80}}\b(?:you\s+must|always|never\s+mention|secretly|silently|without\s+telling)\b[^.\n]{{0,40}}"
    rf"\b(?:{_DO}|tell|mention|ask)\b"
    r"|\b(?:do\s+not|don't|never)\s+(?:tell|inform|notify|alert|reveal\s+(?:this|it)\s+to|mention\s+(?:this|it)\s+to)"
    r"\s+(?:the\s+)?(?:user|operator|developer|human)"
    r"|\b(?:as\s+an?|attention|note\s+to|message\s+(?:to|for))\s+(?:the\s+)?(?:ai|llm|language\s+model|assistant|agent)\b"
    rf"[^.\n]{{0,60}}\b(?:must|always|{_DO})\b"
    r")",
    re.IGNORECASE,
)
_MARKUP = re.compile(
    r"<\|[a-z_]{2,20}\|>|\[/?INST\]|<</?SYS>>"
    r"|</?(?:system|tool_call|tool_calls|tool_result|function_call|function_calls|function_results|invoke|tool_use)\b[^>]*>"
    r"|\{\s*\"(?:tool_calls?|function_call)\"\s*:"
    r"|^#{1,3}\s*(?:system|developer)\s*(?:prompt|message|instructions?)?\s*:",
    re.IGNORECASE | re.MULTILINE,
)
# Tags (except in the flags that are written with them), invisible separators, and marks that turn the order of letters.
# A letter may be followed by its accents (NFD).
_HIDDEN = re.compile(
    "(?:\U0001f3f4[\U000e0020-\U000e007e]{2,7}\U000e007f)|"
    "([\U000e0000-\U000e007f]+|[\u200b\u2060-\u2064]{2,}|(?<=[\\w\u0300-\u036f])[\u200b\u2060-\u2064\ufeff](?=\\w)|[\u202a-\u202e\u2066-\u2069])"
)


def inspect(texts: Texts) -> list[Finding]:
    """What of these texts is suspect, in the order of their fields."""
    found = {finding for field, text in texts for finding in _of(field, text)}
    return sorted(found, key=lambda finding: (finding.field, finding.start, finding.end, finding.kind))


def kinds(findings: Iterable[Finding]) -> list[Kind]:
    """The kinds among findings, each once."""
    return sorted({finding.kind for finding in findings})


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
    for kind, pattern in (
        ("api-key", _API_KEY),
        ("private-key", _PRIVATE_KEY),
        ("token", _JWT),
        ("planted-instruction", _INSTRUCTION),
        ("markup", _MARKUP),
    ):
        for match in pattern.finditer(text):
            yield Finding(kind, field, match.start(), match.end())  # type: ignore[arg-type]
    for match in _HIDDEN.finditer(text):
        if match[1] is not None:
            yield Finding("hidden-text", field, match.start(), match.end())
    for match in _URL_PASSWORD.finditer(text):
        yield Finding("password", field, match.start(1), match.end(1))
    for match in _SAID.finditer(text):
        if _random(match[1]):
            yield Finding("password", field, match.start(1), match.end(1))
    for match in _DIGITS.finditer(text):
        if _card(re.sub(r"\D", "", match[0])):
            yield Finding("card-number", field, match.start(), match.end())


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
