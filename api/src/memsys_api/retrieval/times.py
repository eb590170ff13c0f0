"""Reads the time that a question speaks of: "last May", "on 7 July 2023", "two weeks before 9 June 2023", "since 2022".

Only expressions that leave little doubt are read; a question without one simply has no time. The words are English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from memsys_api.retrieval.types import TimeRange

READ_CHARACTERS = 2000  # of a longer question only the beginning is read
OPEN_START = datetime(1900, 1, 1)
OPEN_END = datetime(2200, 1, 1)

_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONTH_NUMBERS = {name: number for number, name in enumerate(_MONTHS, 1)}
_MONTH_NUMBERS |= {name[:3]: number for name, number in list(_MONTH_NUMBERS.items())} | {"sept": 9}
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}  # first month, northern, three months long
_WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_NUMBERS = {
    name: n
    for n, name in enumerate(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"], 1
    )
}
_NUMBERS |= {"a": 1, "an": 1, "few": 3, "couple of": 2, "a few": 3, "a couple of": 2}

_MONTH = rf"(?P<month>{'|'.join(sorted(_MONTH_NUMBERS, key=len, reverse=True))})\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>(?:19|20|21)\d\d)"
_NUMBER = rf"(?P<number>\d{{1,3}}|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})"
_UNIT = r"(?P<unit>day|week|weekend|month|year)s?"

# "may" and "march" are verbs too: a bare month counts only behind a word that a verb does not stand behind.
_BARE_MONTH = rf"\b(?P<which>in|during|of|since|until|before|after|by|from|last|this|next|early|late|mid)[ -]{_MONTH}"


def read_time(text: str, now: datetime) -> TimeRange | None:
    """Return the time that ``text`` speaks of, seen from ``now`` (aware), or ``None``. Never raises for any text."""
    text = text[:READ_CHARACTERS].lower()
    for pattern, build in _READERS:
        for match in pattern.finditer(text):
            try:
                start, end = _with_preposition(text[: match.start()], build(match, now.replace(tzinfo=None)))
            except (ValueError, OverflowError):  # 31 February, year 0: not a time after all
                continue
            if start < end:  # "since" a time beyond all times is none
                return TimeRange(start.replace(tzinfo=now.tzinfo), end.replace(tzinfo=now.tzinfo))
    return None


Span = tuple[datetime, datetime]


def _with_preposition(before: str, span: Span) -> Span:
    """ "two weeks before <span>", "since <span>", "before <span>", "after <span>"."""
    offset = re.search(rf"\b{_NUMBER} {_UNIT} (?P<side>before|after|prior to) (?:the )?$", before[-60:])
    offset = offset or re.search(
        r"\b(?:the|last) (?P<unit>day|week|weekend|month|year) (?P<side>before|after) (?:the )?$", before[-60:]
    )
    if offset:
        number = _number(offset.groupdict().get("number") or "one")
        shift = _length(offset["unit"]) * number
        slack = _length(offset["unit"]) / 2 + timedelta(days=1)
        middle = span[0] + shift if offset["side"] == "after" else span[0] - shift
        return middle - slack, middle + slack
    word = re.search(r"\b(before|until|till|by|prior to|after|since|from)(?: the)? $", before[-20:])
    return span if word is None else _opened(word[1], span)


def _opened(word: str, span: Span) -> Span:
    """What a preposition makes of a span: "before" ends where it begins, "after" begins where it ends."""
    if word in ("before", "until", "till", "by", "prior to"):
        return OPEN_START, span[0]
    if word == "after":
        return span[1], OPEN_END
    return (span[0], OPEN_END) if word in ("since", "from") else span


def _day_span(day: datetime, days: int = 1) -> Span:
    start = day.replace(hour=0, minute=0, second=0, microsecond=0)
    return start, start + timedelta(days=days)


def _month_span(year: int, month: int, months: int = 1) -> Span:
    last = year * 12 + month - 1 + months
    return datetime(year, month, 1), datetime(last // 12, last % 12 + 1, 1)


def _latest_year(month: int, now: datetime) -> int:
    """The year of the last such month that has begun: memories speak of what was."""
    return now.year if month <= now.month else now.year - 1


def _dated(match: re.Match[str], now: datetime) -> Span:
    month = _MONTH_NUMBERS[match["month"]]
    year = int(match["year"]) if match["year"] else _latest_year(month, now)
    return _day_span(datetime(year, month, int(match["day"])))


def _iso(match: re.Match[str], now: datetime) -> Span:
    return _day_span(datetime(int(match["year"]), int(match["number"]), int(match["day"])))


def _month_of_year(match: re.Match[str], now: datetime) -> Span:
    return _month_span(int(match["year"]), _MONTH_NUMBERS[match["month"]])


def _bare_month(match: re.Match[str], now: datetime) -> Span:
    month, which = _MONTH_NUMBERS[match["month"]], match["which"]
    year = _latest_year(month, now)
    if which == "last" and month == now.month:
        year -= 1
    elif which == "next":
        year = now.year + (month <= now.month)
    elif which == "this":
        year = now.year
    return _opened(which, _month_span(year, month))


def _season(match: re.Match[str], now: datetime) -> Span:
    month = _SEASONS[match["season"]]
    year = int(match["year"]) if match["year"] else _latest_year(month, now)
    if match["which"] == "last" and not match["year"] and _month_span(year, month, 3)[1] > now:
        year -= 1
    return _month_span(year, month, 3)


def _year(match: re.Match[str], now: datetime) -> Span:
    return datetime(int(match["year"]), 1, 1), datetime(int(match["year"]) + 1, 1, 1)


def _ago(match: re.Match[str], now: datetime) -> Span:
    unit = _length(match["unit"])
    middle = now - unit * _number(match["number"])
    slack = unit / 2 + timedelta(days=1)  # nobody counts days: "two months ago" may be six weeks
    return middle - slack, middle + slack


def _past_units(match: re.Match[str], now: datetime) -> Span:
    return now - _length(match["unit"]) * _number(match["number"]), now + timedelta(days=1)


def _calendar(match: re.Match[str], now: datetime) -> Span:
    step = {"last": -1, "this": 0, "next": 1}[match["which"]]
    unit = match["unit"]
    if unit == "year":
        return datetime(now.year + step, 1, 1), datetime(now.year + step + 1, 1, 1)
    if unit == "month":
        months = now.year * 12 + now.month - 1 + step
        return _month_span(months // 12, months % 12 + 1)
    monday = now - timedelta(days=now.weekday()) + timedelta(weeks=step)
    return _day_span(monday + timedelta(days=5), 2) if unit == "weekend" else _day_span(monday, 7)


def _weekday(match: re.Match[str], now: datetime) -> Span:
    back = (now.weekday() - _WEEKDAYS.index(match["weekday"])) % 7 or 7
    return _day_span(now - timedelta(days=back))


def _near_day(match: re.Match[str], now: datetime) -> Span:
    return _day_span(now - timedelta(days=0 if match["near"] in ("today", "tonight", "this morning") else 1))


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else _NUMBERS[text]


def _length(unit: str) -> timedelta:
    return timedelta(days={"day": 1, "week": 7, "weekend": 7, "month": 30.44, "year": 365.25}[unit])


def _readers() -> Iterator[tuple[str, Callable[[re.Match[str], datetime], Span]]]:
    """Surest first: a full date before its month, a month before its year."""
    yield rf"\b{_YEAR}-(?P<number>\d\d)-(?P<day>\d\d)\b", _iso
    yield rf"\b{_DAY}(?: of)? {_MONTH}(?:,? {_YEAR})?\b", _dated
    yield rf"\b{_MONTH} {_DAY}\b(?:,? {_YEAR}\b)?", _dated
    yield rf"\b{_MONTH}(?: of)?,? {_YEAR}\b", _month_of_year
    yield (
        rf"\b(?:(?P<which>last|this|in|during)(?: the)? |the )(?P<season>{'|'.join(_SEASONS)})(?: of)?(?: {_YEAR})?\b",
        _season,
    )
    yield rf"\b{_NUMBER} {_UNIT} ago\b", _ago
    yield rf"\b(?:past|last|previous) {_NUMBER} {_UNIT}\b", _past_units
    yield r"\b(?P<which>last|this|next) (?P<unit>weekend|week|month|year)\b", _calendar
    yield rf"\blast (?P<weekday>{'|'.join(_WEEKDAYS)})\b", _weekday
    yield r"\b(?P<near>yesterday|last night|today|tonight|this morning)\b", _near_day
    yield rf"{_BARE_MONTH}\b", _bare_month
    yield rf"\b(?:in|during|of|since|until|before|after|from) {_YEAR}\b", _year_after_preposition


def _year_after_preposition(match: re.Match[str], now: datetime) -> Span:
    return _opened(match[0].split()[0], _year(match, now))


_READERS = [(re.compile(pattern), build) for pattern, build in _readers()]
