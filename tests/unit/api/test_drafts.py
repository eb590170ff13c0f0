"""What a model and the plain reading find in one text, put together; what ties memories together."""

from __future__ import annotations

from memsys_api.flows.drafts import merged, thread_of
from memsys_api.model import Entity, Extraction, Relation, Scope

ANN, ROME = Entity("ann", "Ann", "person"), Entity("rome", "Rome", "place")


def test_an_entity_found_twice_is_one_and_its_specific_kind_stays() -> None:
    vague = Extraction((Entity("ann", "ann"), Entity("rome", "rome")))
    for both in (merged(vague, Extraction((ANN, ROME))), merged(Extraction((ANN, ROME)), vague)):
        assert {e.key: e.kind for e in both.entities} == {"ann": "person", "rome": "place"}


def test_the_first_of_two_specific_kinds_stays() -> None:
    assert merged(Extraction((ANN,)), Extraction((Entity("ann", "Ann", "place"),))).entities == (ANN,)


def test_relations_are_kept_once_each() -> None:
    lives, works = Relation("ann", "lives_in", "rome"), Relation("ann", "works_in", "rome")
    both = merged(Extraction(relations=(lives,)), Extraction(relations=(works, lives)))
    assert sorted(r.predicate for r in both.relations) == ["lives_in", "works_in"]


def test_a_run_is_one_thread_over_requests_and_a_request_alone_is_one_of_its_own() -> None:
    run = Scope("p", user_id="u", run_id="r")
    assert thread_of(run, 1) == thread_of(run, 2) != thread_of(Scope("p", user_id="v", run_id="r"), 1)
    assert thread_of(Scope("p"), 1) is None
    assert thread_of(Scope("p"), 2) != thread_of(Scope("p"), 2)


def test_a_run_under_four_long_ids_is_a_thread_that_an_index_takes() -> None:
    long = Scope("p", *("\U00020000" * 255 + letter for letter in "abcd"))
    other = Scope("p", long.user_id, long.agent_id, long.app_id, "r")
    thread = thread_of(long, 1)
    assert thread is not None
    assert len(thread.encode()) < 100
    assert thread == thread_of(long, 2) != thread_of(other, 1)
