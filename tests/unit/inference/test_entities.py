import unicodedata
from datetime import UTC, datetime

from memsys_api.inference.entities import LONGEST_NAME, MOST_ENTITIES, MOST_RELATIONS, extraction
from memsys_api.inference.types import Role
from memsys_api.model import Entity, Extraction, Relation

NAMES: dict[Role, str | None] = {"user": "Ana", "assistant": None}


def read(entities=(), relations=(), names=NAMES) -> Extraction:  # type: ignore[no-untyped-def]
    return extraction(entities, relations, names=names, normalise=lambda name: name.casefold().strip())


def test_entities_and_relations() -> None:
    found = read([("Ana", "Person"), ("Oslo", "place")], [("Ana", "Lives in", "Oslo", "2025-03", None)])
    assert found == Extraction(
        (Entity("ana", "Ana", "person"), Entity("oslo", "Oslo", "place")),
        (Relation("ana", "lives_in", "oslo", datetime(2025, 3, 1, tzinfo=UTC), None),),
    )


def test_user_is_the_speaker_or_nobody() -> None:
    relations = [("User", "owns", "Poppy", None, None)]
    assert read([("the user", "x")], relations).relations == (Relation("ana", "owns", "poppy"),)
    nobody = read([("User", "person")], relations, names={"user": None, "assistant": None})
    assert nobody == Extraction((Entity("poppy", "Poppy", "entity"),), ())


def test_the_same_entity_in_other_writing_is_one() -> None:
    assert read([("Oslo", "place"), ("OSLO", "city"), ("User", ""), ("Ana", "")]).entities == (
        Entity("oslo", "Oslo", "place"),
        Entity("ana", "Ana", "person"),
    )


def test_pronouns_sentences_and_self_relations_are_left_out() -> None:
    found = read(
        [("she", ""), ("x" * (LONGEST_NAME + 1), "")], [("Ana", "is", "ana", None, None), ("it", "is", "Bo", "", "")]
    )
    assert [entity.name for entity in found.entities] == ["Ana", "Bo"]
    assert found.relations == ()


def test_an_end_before_its_start_is_no_time() -> None:
    found = read([], [("Ana", "at", "Bo", "2025", "2024")])
    assert found.relations == (Relation("ana", "at", "bo", None, None),)


def test_amounts_are_bounded() -> None:
    found = read(
        [(f"e{n}", "") for n in range(99)], [(f"e{n}", "r", f"e{m}", "", "") for n in range(15) for m in range(15)]
    )
    assert len(found.entities) == MOST_ENTITIES
    assert len(found.relations) == MOST_RELATIONS


def test_names_and_predicates_are_the_same_in_every_form_of_unicode() -> None:
    for form in ("NFC", "NFD"):
        name, predicate, user = (unicodedata.normalize(form, said) for said in ("Renée", "Préfère", "Zoë"))
        found = read([(name, "")], [("User", predicate, name, "", "")], names={"user": user})
        assert found == Extraction(
            (Entity("renée", "Renée", "entity"), Entity("zoë", "Zoë", "person")), (Relation("zoë", "préfère", "renée"),)
        )
