"""As much of PromQL as the alerts use, over the samples of one moment: a rate is its series' value, taken as one."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = float | Vector


@dataclass(frozen=True)
class Sample:
    """One series of a metric, and its value."""

    metric: str
    labels: Mapping[str, str]
    value: float


TOKEN = re.compile(r'\s*(?:("[^"]*")|(\d+(?:\.\d+)?[smhd]?)|(\w+)|(=~|!~|!=|==|>=|<=|[-+*/<>=(){},\[\]]))')
ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda a, b: a / b if b else float("nan"),
}
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
}
MATCHES: dict[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "=~": lambda value, pattern: re.fullmatch(pattern, value) is not None,
    "!~": lambda value, pattern: re.fullmatch(pattern, value) is None,
}


def evaluate(expression: str, samples: Iterable[Sample], now: float = 0) -> Vector:
    """The vector that an expression yields: of an alert's, whoever it fires for. Raises ValueError: not understood."""
    parser = _Parser(expression, list(samples), now)
    value = parser.both()
    if parser.tokens:
        raise ValueError(f"not understood from {parser.tokens[0]!r} on: {expression}")
    assert isinstance(value, dict), "a number is no alert"
    return value


class _Parser:
    def __init__(self, expression: str, samples: list[Sample], now: float) -> None:
        self.tokens = [next(filter(None, match.groups())) for match in TOKEN.finditer(expression)]
        self._samples, self._now = samples, now

    def both(self) -> Value:
        left = self._compared()
        while self._took("and"):
            on = self._names() if self._took("on") else None
            right = self._compared()
            assert isinstance(left, dict)
            assert isinstance(right, dict)
            kept = {_only(labels, on) for labels in right}
            left = {labels: value for labels, value in left.items() if _only(labels, on) in kept}
        return left

    def _compared(self) -> Value:
        left = self._sum()
        while self.tokens and (compare := COMPARISONS.get(self.tokens[0])):
            self.tokens.pop(0)
            right = self._sum()
            assert isinstance(left, dict)
            left = {
                labels: value
                for labels, value in left.items()
                if (other := _at(right, labels)) is not None and compare(value, other)
            }
        return left

    def _sum(self) -> Value:
        return self._binary(self._product, "+-")

    def _product(self) -> Value:
        return self._binary(self._one, "*/")

    def _binary(self, part: Callable[[], Value], signs: str) -> Value:
        left = part()
        while self.tokens and self.tokens[0] in signs:
            combine, right = ARITHMETIC[self.tokens.pop(0)], part()
            if not isinstance(left, dict) and not isinstance(right, dict):
                left = combine(left, right)
                continue
            combined: Vector = {}
            for labels in left if isinstance(left, dict) else right if isinstance(right, dict) else ():
                ours, theirs = _at(left, labels), _at(right, labels)
                if ours is not None and theirs is not None:
                    combined[labels] = combine(ours, theirs)
            left = combined
        return left

    def _one(self) -> Value:
        token = self.tokens.pop(0)
        if token == "(":
            return self._closed(self.both())
        if re.fullmatch(r"\d+(\.\d+)?", token):
            return float(token)
        if token in ("sum", "max"):
            by = self._names() if self._took("by") else []
            groups: dict[Labels, list[float]] = {}
            for labels, value in self._argument().items():
                groups.setdefault(_only(labels, by), []).append(value)
            return {labels: (sum if token == "sum" else max)(values) for labels, values in groups.items()}
        if token in ("rate", "increase"):
            return self._argument()
        if token == "absent":
            return {} if self._argument() else {frozenset(): 1.0}
        if token == "time":
            self._expect("(")
            return self._closed(self._now)
        return self._selected(token)

    def _selected(self, metric: str) -> Vector:
        wanted: list[tuple[str, str, str]] = []
        if self._took("{"):
            while not self._took("}"):
                name, sign, text = (self.tokens.pop(0) for _ in range(3))
                wanted.append((name, sign, text.strip('"')))
                self._took(",")
        if self._took("["):
            self.tokens.pop(0)
            self._expect("]")
        return {
            frozenset(sample.labels.items()): sample.value
            for sample in self._samples
            if sample.metric == metric
            and all(MATCHES[sign](sample.labels.get(name, ""), text) for name, sign, text in wanted)
        }

    def _argument(self) -> Vector:
        self._expect("(")
        value = self._closed(self.both())
        assert isinstance(value, dict)
        return value

    def _closed(self, value: Value) -> Value:
        self._expect(")")
        return value

    def _names(self) -> list[str]:
        self._expect("(")
        names = []
        while not self._took(")"):
            names.append(self.tokens.pop(0))
            self._took(",")
        return names

    def _took(self, token: str) -> bool:
        if self.tokens and self.tokens[0] == token:
            self.tokens.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._took(token):
            raise ValueError(f"expected {token!r}, met {self.tokens[:1]}")


def _at(value: Value, labels: Labels) -> float | None:
    return value.get(labels) if isinstance(value, dict) else value


def _only(labels: Labels, names: list[str] | None) -> Labels:
    return labels if names is None else frozenset((name, value) for name, value in labels if name in names)
