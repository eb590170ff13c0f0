"""The shortest ways from one entity to another over what is stated between them. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Edge(NamedTuple):
    """Something stated between two entities; it is walked in both directions."""

    subject: str
    object: str


def between(edges: Iterable[Edge], source: str, target: str, *, depth: int, limit: int) -> list[list[str]]:
    """Up to ``limit`` ways of at most ``depth`` steps, as the keys along them, shortest first; no key twice in one.

    The order is the same for the same edges in any order.
    """
    near = neighbours(edges)
    left = distances(near, target)
    if source not in left:
        return []
    found: list[list[str]] = []
    begun: deque[list[str]] = deque([[source]])
    # By length, since the queue is first in, first out; nothing is begun that cannot arrive in time.
    while begun and len(found) < limit:
        way = begun.popleft()
        if way[-1] == target:
            found.append(way)
            continue
        begun.extend(
            [*way, key]
            for key in near[way[-1]]
            if key not in way and key in left and len(way) + left[key] <= depth and len(begun) < _MOST_BEGUN
        )
    return found


def neighbours(edges: Iterable[Edge]) -> dict[str, Sequence[str]]:
    """Every entity's neighbours in the order of their keys."""
    near: dict[str, set[str]] = {}
    for edge in edges:
        near.setdefault(edge.subject, set()).add(edge.object)
        near.setdefault(edge.object, set()).add(edge.subject)
    return {key: sorted(others) for key, others in near.items()}


def distances(near: Mapping[str, Sequence[str]], start: str) -> dict[str, int]:
    """How many steps every entity that can be reached is away from one."""
    away = {start: 0}
    waiting = deque([start])
    while waiting:
        key = waiting.popleft()
        for other in near.get(key, ()):
            if other not in away:
                away[other] = away[key] + 1
                waiting.append(other)
    return away


_MOST_BEGUN = 20_000
