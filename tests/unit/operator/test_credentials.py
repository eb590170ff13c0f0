from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_operator import names
from memsys_operator.credentials import NEO4J_KEYS, POSTGRES_KEYS, Credentials, settle
from memsys_operator.errors import Broken, Rejected
from memsys_operator.observed import Manifest, Observed, key_of, secret_values
from memsys_operator.plan import Apply, Create, plan
from memsys_operator.reconcile import RANDOM
from memsys_operator.resources.credentials import api_values
from memsys_operator.weakness import weakness

from .support import carry_out, claim, counting, desired, find, secret, seen, system

POSTGRES = {"superuser-password": "super-and-long", "owner-password": "owner-and-long", "app-password": "app-and-long"}
NEO4J = {"password": "graph-and-long"}
ADMIN = {"key": "msk_admin-and-long"}


def test_a_new_system_gets_credentials_that_all_differ() -> None:
    made = settle(system(), Observed(), counting())
    assert set(made.postgres) == set(POSTGRES_KEYS)
    assert made.neo4j is not None
    values = [*made.postgres.values(), *made.neo4j.values(), *made.admin.values()]
    assert len(set(values)) == len(values)


def test_what_exists_is_kept() -> None:
    observed = seen(
        secret("m-postgres", POSTGRES), secret("m-neo4j", NEO4J), secret("m-admin-key", ADMIN),
        claim("data-m-postgres-0"), claim("data-m-neo4j-0"),
    )  # fmt: skip
    kept = settle(system(), observed, counting())
    assert (kept.postgres, kept.neo4j, kept.admin) == (POSTGRES, NEO4J, ADMIN)
    assert not kept.reset


def test_a_lost_admin_key_is_made_anew_because_no_data_depends_on_it() -> None:
    observed = seen(secret("m-postgres", POSTGRES), claim("data-m-postgres-0"))
    assert settle(system({"graph": {"provider": "none"}}), observed, counting()).admin["key"].startswith("msk_")


@pytest.mark.parametrize("lost", [None, *POSTGRES_KEYS])
def test_a_volume_without_its_passwords_is_broken_and_the_message_gives_both_ways_out(lost: str | None) -> None:
    rest = {key: value for key, value in POSTGRES.items() if key != lost}
    objects = [claim("data-m-postgres-0")] + ([secret("m-postgres", rest)] if lost else [])
    with pytest.raises(Broken) as broken:
        settle(system(), seen(*objects), counting())
    assert broken.value.reason == "CredentialsLost"
    for word in ("data-m-postgres-0", "m-postgres", "Restore", "kubectl annotate memsys m -n n"):
        assert word in broken.value.message


def test_lost_passwords_are_reset_only_when_the_annotation_says_so() -> None:
    annotated = system(annotations={names.RESET_ANNOTATION: "postgres"})
    made = settle(annotated, seen(claim("data-m-postgres-0")), counting())
    assert made.reset
    assert set(made.postgres) == set(POSTGRES_KEYS)
    with pytest.raises(Broken):
        settle(system(annotations={names.RESET_ANNOTATION: "yes"}), seen(claim("data-m-postgres-0")), counting())


def test_the_annotation_changes_nothing_while_nothing_is_lost() -> None:
    annotated = system(annotations={names.RESET_ANNOTATION: "postgres"})
    kept = settle(annotated, seen(secret("m-postgres", POSTGRES), claim("data-m-postgres-0")), counting())
    assert kept.postgres == POSTGRES
    assert not kept.reset


def test_a_lost_graph_password_takes_out_the_graph_alone() -> None:
    observed = seen(secret("m-postgres", POSTGRES), claim("data-m-postgres-0"), claim("data-m-neo4j-0"))
    settled = settle(system(), observed, counting())
    assert settled.neo4j is None
    assert settled.graph_problem is not None
    assert "kubectl delete statefulset/m-neo4j pvc/data-m-neo4j-0" in settled.graph_problem.message
    off = settle(system({"graph": {"provider": "none"}}), observed, counting())
    assert (off.neo4j, off.graph_problem) == (None, None)


#: Passwords as people make them, which a URL holds in another notation.
BY_HAND = {"superuser-password": "s/per:and@long", "owner-password": "öwner and/long", "app-password": "app:p@ss%20/"}
VOLUMES = (claim("data-m-postgres-0"), claim("data-m-neo4j-0"))


def of_the_api(postgres: dict[str, str] = POSTGRES, neo4j: str = NEO4J["password"]) -> Manifest:
    """Secret ``m-api`` of a system with these passwords."""
    return secret("m-api", api_values(system(), Credentials(postgres, {"password": neo4j}, ADMIN)))


@pytest.mark.parametrize("held", [None, {}, {"password": ""}])
@pytest.mark.parametrize("graph", ["neo4j", "none"])
def test_a_lost_graph_password_is_taken_from_what_the_api_was_given(held: dict[str, str] | None, graph: str) -> None:
    objects = [secret("m-postgres", POSTGRES), of_the_api(), *VOLUMES]
    objects += [] if held is None else [secret("m-neo4j", held)]
    kept = settle(system({"graph": {"provider": graph}}), seen(*objects), counting())
    assert (kept.neo4j, kept.graph_problem) == (NEO4J, None)


def test_when_the_graphs_secret_is_lost_it_is_made_anew_and_nothing_else_changes() -> None:
    target, observed = system(), seen(*VOLUMES, secret("m-postgres", POSTGRES), secret("m-neo4j", NEO4J))
    observed = carry_out(plan(desired(target, observed), observed, generated=names.kept_secrets("m")), observed)
    rest = Observed({key: obj for key, obj in observed.objects.items() if key != ("Secret", "m-neo4j")})
    actions = plan(desired(target, rest), rest, generated=names.kept_secrets("m"))
    assert [key_of(a.manifest) for a in actions if isinstance(a, Create | Apply)] == [("Secret", "m-neo4j")] * 2
    after = carry_out(actions, rest)
    assert secret_values(after.objects["Secret", "m-neo4j"]) == NEO4J
    assert plan(desired(target, after), after, generated=names.kept_secrets("m")) == []


@pytest.mark.parametrize("useless", ["lost", "", "Neo4j-Password"])
def test_what_the_api_was_given_is_not_taken_where_it_is_weak_or_itself_lost(useless: str) -> None:
    settled = settle(system(), seen(secret("m-postgres", POSTGRES), of_the_api(neo4j=useless), *VOLUMES), counting())
    assert settled.neo4j is None
    assert settled.graph_problem is not None
    assert api_values(system(), settled)["neo4j_password"] == (useless or "lost")


def test_a_volume_that_is_deleted_takes_its_password_along() -> None:
    """The way to another password: until the volume is gone the API keeps what it has, then there is a new one."""
    going = claim("data-m-neo4j-0")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    rest = [secret("m-postgres", POSTGRES), of_the_api(), claim("data-m-postgres-0")]
    waiting = settle(system(), seen(*rest, going), counting())
    assert waiting.neo4j is None
    assert waiting.graph_problem is not None
    assert api_values(system(), waiting)["neo4j_password"] == NEO4J["password"]
    made = settle(system(), seen(*rest), counting())
    assert made.graph_problem is None
    assert made.neo4j not in (None, NEO4J)
    assert settle(system({"graph": {"provider": "none"}}), seen(*rest), counting()).neo4j is None


@pytest.mark.parametrize("lost", [["app-password"], ["owner-password"], ["app-password", "owner-password"]])
@pytest.mark.parametrize("passwords", [POSTGRES, BY_HAND])
def test_lost_passwords_of_postgres_are_taken_from_the_urls_that_the_api_was_given(
    lost: list[str], passwords: dict[str, str]
) -> None:
    rest = secret("m-postgres", {key: value for key, value in passwords.items() if key not in lost})
    observed = seen(rest, of_the_api(passwords), secret("m-neo4j", NEO4J), *VOLUMES)
    assert settle(system(), observed, counting()).postgres == passwords


@pytest.mark.parametrize("url", ["", "postgresql://memsys_app@m-postgres-rw/memsys", "http://[broken"])
def test_a_url_without_a_password_brings_none_back(url: str) -> None:
    rest = secret("m-postgres", {**POSTGRES, "app-password": ""})
    broken = secret("m-api", {"database_url": url, "database_owner_url": url})
    with pytest.raises(Broken, match="m-postgres"):
        settle(system(), seen(rest, broken, *VOLUMES), counting())


def test_the_superusers_password_is_kept_nowhere_else_and_new_ones_are_made_when_told_to() -> None:
    observed = seen(of_the_api(), *VOLUMES)
    with pytest.raises(Broken, match=r"Secret m-postgres .* is gone"):
        settle(system(), observed, counting())
    made = settle(system(annotations={names.RESET_ANNOTATION: "postgres"}), observed, counting())
    assert made.reset
    assert not set(made.postgres.values()) & set(POSTGRES.values())
    assert made.neo4j == NEO4J


def test_a_graph_that_is_off_keeps_the_password_it_had() -> None:
    observed = seen(secret("m-neo4j", NEO4J), claim("data-m-neo4j-0"))
    assert settle(system({"graph": {"provider": "none"}}), observed, counting()).neo4j == NEO4J


@pytest.mark.parametrize("provider", ["none", "neptune"])
def test_a_secret_that_no_graph_here_had_is_none_of_ours(provider: str) -> None:
    spec: dict[str, Any] = {"graph": {"provider": provider}}
    if provider == "neptune":
        spec["graph"]["neptune"] = {"endpoint": "https://graph.test:8182", "iamAuth": False}
    made = {names.APPLIED_ANNOTATION: "0"}
    of_a_key = secret("m-neo4j", {"key": "msk_a_b"}, made)
    of_a_key["metadata"]["labels"] = {names.SYSTEM_LABEL: "m", names.KEY_LABEL: "m-neo4j"}
    for other in (secret("m-neo4j", {"user": "neo4j"}), secret("m-neo4j", {"password": "neo4j"}), of_a_key):
        assert settle(system(spec), seen(other), counting()).neo4j is None
    assert settle(system(spec), seen(secret("m-neo4j", NEO4J, made)), counting()).neo4j == NEO4J


#: What a MemorySystem may not change while there is data, as the Secret tells it and as a spec asks for another.
RECORDED = {names.EMBEDDER_ANNOTATION: "openai/text-embedding-3-small/1536", names.PRECISION_ANNOTATION: "float32"}


def test_data_of_another_embedder_is_rejected_naming_both() -> None:
    volume = claim("data-m-postgres-0")
    annotations = {names.EMBEDDER_ANNOTATION: "openai/text-embedding-3-small/1536"}
    with pytest.raises(Rejected, match=r"openai/text-embedding-3-small/1536.*builtin/all-MiniLM-L6-v2/384"):
        settle(system(), seen(secret("m-postgres", POSTGRES, annotations), volume), counting())
    same = {names.EMBEDDER_ANNOTATION: system().embedding.identity}
    assert settle(system(), seen(secret("m-postgres", POSTGRES, same), volume), counting()).postgres == POSTGRES


def test_data_of_another_precision_is_rejected_with_the_remedy() -> None:
    asked = system({"vectorStore": {"precision": "float32"}})
    stored = find(desired(system()), "Secret", "m-postgres")
    volume = claim("data-m-postgres-0")
    with pytest.raises(Rejected, match=r"spec.vectorStore.precision: .* halfvec.* float32; set .* back to halfvec"):
        settle(asked, seen(stored, volume), counting())
    unrecorded = secret("m-postgres", POSTGRES)
    assert settle(asked, seen(unrecorded, volume), counting()).postgres == POSTGRES


@pytest.mark.parametrize("recorded", RECORDED)
def test_a_choice_that_the_data_binds_has_a_way_out_while_nothing_is_stored(recorded: str) -> None:
    objects = [secret("m-postgres", POSTGRES, {recorded: RECORDED[recorded]}), claim("data-m-postgres-0")]
    going = claim("data-m-postgres-0")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    for observed in (seen(*objects), seen(objects[0], going)):
        with pytest.raises(Rejected) as refused:
            settle(system(), observed, counting())
        for word in (
            "PersistentVolumeClaim data-m-postgres-0 was set up for",
            "if nothing is stored",
            "kubectl delete deployment/m-api statefulset/m-postgres pvc/data-m-postgres-0 -n n",
        ):
            assert word in refused.value.message


def test_without_a_volume_what_was_recorded_follows_the_spec() -> None:
    observed = seen(secret("m-postgres", POSTGRES, RECORDED))
    assert settle(system(), observed, counting()).postgres == POSTGRES
    kept = find(desired(system(), observed), "Secret", "m-postgres")
    assert kept["metadata"]["annotations"] == {
        names.EMBEDDER_ANNOTATION: "builtin/all-MiniLM-L6-v2/384",
        names.PRECISION_ANNOTATION: "halfvec",
    }


@pytest.mark.parametrize(
    ("held", "part", "words"),
    [
        (
            secret("m-postgres", {"app-password": "Password-1234"}),
            "m-postgres",
            ["app-password", "default"],
        ),
        (secret("m-postgres", {"owner-password": "short-one"}), "m-postgres", ["owner-password", "12"]),
        (secret("m-neo4j", {"password": "Neo4j-Password"}), "m-neo4j", ["password", "default"]),
        (secret("m-admin-key", {"key": "msk_of-15-chars"}), "m-admin-key", ["key", "16"]),
        (secret("m-admin-key", {"key": "msk_Ärger_über_ëinen"}), "m-admin-key", ["key", "header"]),
        (secret("m-admin-key", {"key": "msk_two words_and-long"}), "m-admin-key", ["key", "header"]),
        (secret("m-postgres", {"app-password": "two\nlines-and-long"}), "m-postgres", ["app-password", "control"]),
        (secret("m-neo4j", {"password": "a-space-behind-it "}), "m-neo4j", ["password", "space"]),
    ],
)
def test_a_secret_with_a_weak_password_is_refused_by_name_and_not_told(
    held: dict[str, Any], part: str, words: list[str]
) -> None:
    with pytest.raises(Rejected) as refused:
        settle(system(), seen(held), counting())
    assert refused.value.reason == "WeakCredentials"
    for word in (f"Secret {part}", *words, f"kubectl patch secret {part} -n n", "/data/"):
        assert word in refused.value.message
    for value in secret_values(held).values():
        assert value not in refused.value.message


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_a_line_end_behind_an_adopted_password_reaches_nobody(end: str) -> None:
    """PostgreSQL and Neo4j are given their passwords without it, so the API and the operator must be as well."""
    observed = seen(
        *(
            secret(name, {key: value + end for key, value in values.items()})
            for name, values in (("m-postgres", POSTGRES), ("m-neo4j", NEO4J), ("m-admin-key", ADMIN))
        ),
        claim("data-m-postgres-0"),
        claim("data-m-neo4j-0"),
    )
    kept = settle(system(), observed, counting())
    assert (kept.postgres, kept.neo4j, kept.admin) == (POSTGRES, NEO4J, ADMIN)
    given = api_values(system(), kept)
    assert given["database_url"].split("@")[0] == f"postgresql://memsys_app:{POSTGRES['app-password']}"
    assert given["memsys_admin_key"] == ADMIN["key"]


def test_the_way_out_of_a_weak_password_asks_for_what_its_volume_needs() -> None:
    weak = {**POSTGRES, "app-password": "changeme"}
    with pytest.raises(Rejected, match="reset-credentials=postgres"):
        settle(system(), seen(secret("m-postgres", weak), claim("data-m-postgres-0")), counting())
    with pytest.raises(Rejected, match="kubectl delete secret/m-neo4j statefulset/m-neo4j pvc/data-m-neo4j-0"):
        settle(system(), seen(secret("m-neo4j", {"password": "neo4j"}), claim("data-m-neo4j-0")), counting())
    # What the message says: the weak value removed, and the permission given.
    rest = secret("m-postgres", {key: value for key, value in weak.items() if key != "app-password"})
    annotated = system(annotations={names.RESET_ANNOTATION: "postgres"})
    made = settle(annotated, seen(rest, claim("data-m-postgres-0")), counting())
    assert made.postgres["owner-password"] == POSTGRES["owner-password"]
    assert made.postgres["app-password"].startswith("password-of-test")


@pytest.mark.parametrize(
    "guessed",
    ["postgres", "PASSWORD", "change-me", "neo4j\n", "admin123", "Password2024", "postgres-password", "memsys-secret-1",
     "123456789012", "admin_admin_admin", "aaaaaaaaaaaaaaaaaaaa", "abababababababab", "only-eleven", "            "],
)  # fmt: skip
def test_what_is_tried_first_is_weak(guessed: str) -> None:
    assert weakness(guessed, 12)


@pytest.mark.parametrize("strong", ["twelve-chars", "correct horse battery staple", "password-of-amara-okafor"])
def test_what_nobody_tries_first_is_not_weak(strong: str) -> None:
    assert weakness(strong, 12) is None


@given(
    st.dictionaries(st.sampled_from(POSTGRES_KEYS), st.sampled_from(["", "long-enough-1", "long-enough-2"])),
    st.dictionaries(st.sampled_from(NEO4J_KEYS), st.sampled_from(["", "long-enough-3"])),
    st.booleans(),
    st.booleans(),
)
def test_no_existing_password_is_ever_replaced(
    postgres: dict[str, str], neo4j: dict[str, str], has_claim: bool, has_graph_claim: bool
) -> None:
    objects: list[dict[str, Any]] = [secret("m-postgres", postgres), secret("m-neo4j", neo4j)]
    objects += [claim("data-m-postgres-0")] if has_claim else []
    objects += [claim("data-m-neo4j-0")] if has_graph_claim else []
    try:
        settled = settle(system(), seen(*objects), counting())
    except Broken:
        assert has_claim
        assert not all(postgres.get(key) for key in POSTGRES_KEYS)
        return
    assert {k: v for k, v in postgres.items() if v}.items() <= settled.postgres.items()
    assert settled.neo4j is None or {k: v for k, v in neo4j.items() if v}.items() <= settled.neo4j.items()


def test_random_credentials_are_long_and_safe_in_urls_and_commands() -> None:
    passwords = {RANDOM.password() for _ in range(100)}
    assert len(passwords) == 100
    assert all(len(p) == 32 and p.isalnum() and p.isascii() for p in passwords)
    assert not any(weakness(p, 12) for p in passwords)
    kind, identity, rest = RANDOM.admin_key().split("_")
    assert (kind, len(identity), len(rest)) == ("msk", 12, 32)
