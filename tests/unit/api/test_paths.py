"""Ways between entities."""

from __future__ import annotations

from itertools import pairwise, permutations

from hypothesis import given
from hypothesis import strategies as st

from memsys_api.flows.paths import Edge, between

KEYS = "abcde"
EDGES = st.lists(st.builds(Edge, st.sampled_from(KEYS), st.sampled_from(KEYS)), max_size=8)


@given(EDGES, st.integers(1, 4))
def test_every_simple_way_is_found_shortest_first(edges: list[Edge], depth: int) -> None:
    steps = {frozenset(edge) for edge in edges}
    expected = {
        way
        for length in range(2, depth + 2)
        for way in permutations(KEYS, length)
        if (way[0], way[-1]) == ("a", "e") and all(frozenset(step) in steps for step in pairwise(way))
    }
    found = between(edges, "a", "e", depth=depth, limit=1000)
    assert {tuple(way) for way in found} == expected
    assert len(found) == len(expected)
    assert [len(way) for way in found] == sorted(len(way) for way in found)


@given(EDGES, st.integers(1, 4), st.data())
def test_the_answer_does_not_depend_on_the_order_of_edges(edges: list[Edge], limit: int, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(edges))
    found = between(edges, "a", "e", depth=4, limit=limit)
    assert between(shuffled, "a", "e", depth=4, limit=limit) == found
    assert len(found) <= limit


def test_an_entity_is_no_way_from_itself_unless_it_is_known() -> None:
    assert between([], "a", "a", depth=3, limit=5) == [["a"]]
    assert between([], "a", "b", depth=3, limit=5) == []
