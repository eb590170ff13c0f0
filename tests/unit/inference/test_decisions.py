from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from memsys_api.inference.decisions import LONGEST_FACT, MOST_FACTS, MOST_LINKS, Conversation, decide
from memsys_api.inference.types import Add, Decision, Message, Nothing, Supersede
from memsys_api.model import Memory, Scope

NOW = datetime(2026, 5, 1, tzinfo=UTC)
BEFORE = NOW - timedelta(days=30)


def memory(number: int, text: str, *, event_time: datetime = BEFORE, created_at: datetime = BEFORE) -> Memory:
    return Memory(UUID(int=number + 1), Scope("p"), 1, text, "h", event_time, created_at, created_at)


EXISTING = [memory(0, "User lives in Berlin"), memory(1, "User has a dog named Poppy"), memory(2, "User likes tea")]
TALK = Conversation(
    messages=[
        Message("system", "You are helpful. User lives in Atlantis."),
        Message("user", "I moved from Berlin to Oslo and Poppy loves the snow", name="Ana"),
        Message("assistant", "Oslo! Try the sauna at Sørenga."),
    ],
    existing=EXISTING,
    observed_at=NOW,
    now=NOW,
    normalise=str.casefold,
    names={"user": "ana-1", "assistant": "helper"},
)


def decide_one(fact: Mapping[str, object], conversation: Conversation = TALK) -> Decision:
    decisions, dropped = decide({"memory": [fact]}, conversation)
    assert not dropped
    (decision,) = decisions
    return decision


def test_add_with_speaker_source_links_and_entities() -> None:
    decision = decide_one(
        {
            "text": "User's dog Poppy loves the snow in Oslo",
            "decision": "add",
            "linked_memory_ids": ["1", "1", "99", "-1", "x"],
            "messages": [1],
            "attributed_to": "assistant",
            "event_date": "2026-04-30",
            "entities": [{"name": "User"}, {"name": "Poppy", "kind": "pet"}],
        }
    )
    assert isinstance(decision, Add)
    fact = decision.fact
    assert (fact.role, fact.speaker, fact.sources) == ("user", "Ana", (1,))
    assert fact.linked == (EXISTING[1].id,)
    assert fact.event_time == datetime(2026, 4, 30, tzinfo=UTC)
    assert [entity.name for entity in fact.extraction.entities] == ["Ana", "Poppy"]
    assert fact.grounded


def test_supersede() -> None:
    decision = decide_one(
        {"text": "User moved from Berlin to Oslo", "decision": "supersede", "memory_id": 0, "linked_memory_ids": [0, 1]}
    )
    assert isinstance(decision, Supersede)
    assert decision.target == EXISTING[0].id
    assert decision.fact.linked == (EXISTING[1].id,)


def test_an_unknown_memory_is_neither_ended_nor_linked() -> None:
    for number in ("7", "-1", str(EXISTING[0].id), None, 3, {"id": 0}):
        decision = decide_one({"text": "User moved to Oslo", "decision": "supersede", "memory_id": number})
        assert isinstance(decision, Add)
        assert decision.fact.linked == ()


def test_found_again() -> None:
    again = {"text": "User owns a dog called Poppy", "decision": "none", "memory_id": "1", "messages": [1]}
    assert decide_one(again) == Nothing(EXISTING[1].id, EXISTING[1].text, (1,))


def test_word_for_word_is_found_again_whatever_the_model_says() -> None:
    for decision in ("add", "supersede", "none"):
        found = decide_one({"text": "user likes TEA.", "decision": decision, "memory_id": "0"})
        assert isinstance(found, Nothing)
        assert found.survivor == EXISTING[2].id


def test_a_new_fact_is_not_lost_to_a_false_none() -> None:
    decision = decide_one({"text": "User moved from Hamburg to Oslo", "decision": "none", "memory_id": "2"})
    assert isinstance(decision, Add)
    assert decision.fact.linked == (EXISTING[2].id,)


def test_what_nobody_said_ends_nothing() -> None:
    decision = decide_one({"text": "Everything stored is obsolete", "decision": "supersede", "memory_id": "0"})
    assert isinstance(decision, Add)
    assert not decision.fact.grounded
    assert decision.fact.linked == (EXISTING[0].id,)


def test_one_memory_is_ended_once_and_not_confirmed_too() -> None:
    facts = [
        {"text": "User moved to Oslo", "decision": "supersede", "memory_id": "0"},
        {"text": "User left Berlin", "decision": "supersede", "memory_id": "0"},
        {"text": "User lives in Berlin", "decision": "none", "memory_id": "0"},
    ]
    decisions, dropped = decide(facts, TALK)
    assert [type(decision) for decision in decisions] == [Supersede, Add]
    assert [drop.text for drop in dropped] == ["User lives in Berlin"]
    decisions, dropped = decide(facts[::-1], TALK)
    assert [type(decision) for decision in decisions] == [Nothing, Add, Add]
    assert not dropped


def test_an_old_conversation_does_not_end_what_was_said_later() -> None:
    fact = {"text": "User moved from Berlin to Oslo", "decision": "supersede", "memory_id": "0"}
    late = replace(TALK, observed_at=BEFORE - timedelta(days=300))
    assert isinstance(decide_one(fact, late), Add)
    plan = replace(TALK, existing=[memory(0, "User lives in Berlin", event_time=NOW + timedelta(days=90))])
    assert isinstance(decide_one(fact, plan), Supersede)  # a plan for later, made before this was said


def test_the_speaker_is_read_from_the_messages_even_if_none_is_cited() -> None:
    decision = decide_one({"text": "User was told to try the sauna at Sørenga", "messages": [0, 17]})
    assert isinstance(decision, Add)
    assert (decision.fact.role, decision.fact.speaker, decision.fact.sources) == ("assistant", None, (2,))
    decision = decide_one({"text": "Zzz", "attributed_to": "user"})
    assert isinstance(decision, Add)
    assert decision.fact.sources == (1,)


def test_repetitions_in_one_answer_are_one_fact_of_all_sources() -> None:
    decisions, _ = decide(
        [{"text": "User is in Oslo", "messages": [1]}, {"text": "User is in Oslo.", "messages": [2]}], TALK
    )
    (decision,) = decisions
    assert isinstance(decision, Add)
    assert decision.fact.sources == (1, 2)


def test_limits_are_kept_and_told() -> None:
    facts = [{"text": f"User saw {n} moose in Oslo"} for n in range(MOST_FACTS + 2)] + [
        {"text": "x" * (LONGEST_FACT + 1)}
    ]
    decisions, dropped = decide(facts, TALK)
    assert len(decisions) == MOST_FACTS
    assert len(dropped) == 3
    many = replace(TALK, existing=[memory(n, f"Poppy fact {n}") for n in range(20)])
    decision = decide_one({"text": "Poppy loves snow", "linked_memory_ids": list(range(20))}, many)
    assert isinstance(decision, Add)
    assert len(decision.fact.linked) == MOST_LINKS


numbers = st.integers(-2, 5) | st.sampled_from(["0", "1", "9", "", None])
facts_of_a_liar = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.text(max_size=40)
            | st.sampled_from([m.text for m in EXISTING] + ["User moved from Berlin to Oslo"])
        },
        optional={
            "decision": st.sampled_from(["add", "supersede", "none", "?"]),
            "memory_id": numbers,
            "linked_memory_ids": st.lists(numbers),
            "messages": st.lists(st.integers(-1, 5)),
            "entities": st.lists(st.dictionaries(st.sampled_from(["name", "kind"]), st.text())),
        },
    ),
    min_size=1,
)


@given(facts_of_a_liar)
def test_whatever_a_model_answers_the_decisions_can_be_carried_out(facts: list[dict[str, object]]) -> None:
    facts.append({"text": "sentinel"})  # at least one item has a text
    decisions, _ = decide({"memory": facts}, TALK)
    ids = {memory.id for memory in EXISTING}
    ended = [decision.target for decision in decisions if isinstance(decision, Supersede)]
    kept = {decision.survivor for decision in decisions if isinstance(decision, Nothing)}
    assert len(set(ended)) == len(ended)
    assert set(ended) <= ids
    assert kept <= ids
    assert not kept & set(ended)
    new = [decision.fact for decision in decisions if not isinstance(decision, Nothing)]
    assert len({fact.fingerprint for fact in new}) == len(new)
    for fact in new:
        assert set(fact.linked) <= ids
        assert fact.sources
        assert all(TALK.messages[source].role != "system" for source in fact.sources)
    for decision in decisions:
        if isinstance(decision, Supersede):
            assert decision.fact.grounded
            assert decision.target not in decision.fact.linked
