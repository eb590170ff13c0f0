"""The passwords and keys of one system: which exist, which are due, which are lost. Pure.

A password is made only while no volume depends on it. A volume whose Secret is gone is never given a new one
without being told to: the way out is in the message. First it is looked for where the API was given it. A Secret that
was made by hand or restored is adopted, unless it holds a password that a stranger would try first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from memsys_operator import names
from memsys_operator.errors import Broken, Rejected
from memsys_operator.observed import Observed, secret_values
from memsys_operator.spec import System
from memsys_operator.weakness import weakness

POSTGRES_KEYS = ("superuser-password", "owner-password", "app-password")
NEO4J_KEYS = ("password",)
ADMIN_KEYS = ("key",)
#: What the API is given for a password of the graph that nobody knows: the graph is simply away to it.
LOST = "lost"
#: Fewest characters of a password, and of the admin key, whose limit is the API's.
SHORTEST_PASSWORD, SHORTEST_ADMIN_KEY = 12, 16


@dataclass(frozen=True, slots=True)
class Generators:
    """Where new secrets come from; tests pass their own."""

    password: Callable[[], str]
    admin_key: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Credentials:
    """The values that the Secrets shall hold. ``neo4j`` is None when there is no graph or its password is lost; the API
    then keeps ``neo4j_before``, what it was given for it.

    ``reset`` says that new PostgreSQL passwords were asked for by annotation and made just now.
    """

    postgres: Mapping[str, str]
    neo4j: Mapping[str, str] | None
    admin: Mapping[str, str]
    reset: bool = False
    graph_problem: Broken | None = None
    neo4j_before: str = LOST


def settle(system: System, observed: Observed, make: Generators) -> Credentials:
    """Keep what exists, make what is missing.

    Raises :class:`Broken` when the PostgreSQL volume exists without its Secret, and :class:`Rejected` when that
    volume was set up for another embedder or precision, or a Secret holds a weak password. A lost Neo4j password
    only takes the graph out (``graph_problem``): memories are still accepted, because PostgreSQL holds the truth.
    """
    _check_embedder(system, observed)
    _check_strength(system, observed)
    told_to = system.annotations.get(names.RESET_ANNOTATION) == names.POSTGRES
    given = {} if told_to else _given(system, observed, names.POSTGRES)
    postgres, lost = _values(system, observed, names.POSTGRES, POSTGRES_KEYS, make.password, given)
    reset = lost and told_to
    if lost and not reset:
        raise _postgres_lost(system)
    neo4j: Mapping[str, str] | None = None
    graph_problem: Broken | None = None
    given = _given(system, observed, names.NEO4J)
    if given or names.NEO4J in _used(system, observed):
        neo4j, graph_lost = _values(system, observed, names.NEO4J, NEO4J_KEYS, make.password, given)
        if graph_lost:
            neo4j, graph_problem = None, _neo4j_lost(system) if system.runs_neo4j else None
    admin, _ = _values(system, observed, "admin-key", ADMIN_KEYS, make.admin_key, {})
    before = _api_secret(system, observed).get("neo4j_password") or LOST
    return Credentials(postgres, neo4j, admin, reset, graph_problem, before)


def _used(system: System, observed: Observed) -> tuple[str, ...]:
    """The parts whose Secret this system reads and keeps. A graph that was switched off keeps its own, because its
    volume is kept too; before there has been one, a Secret of that name is none of the system's business."""
    secret = observed.get("Secret", names.component(system.name, names.NEO4J)) or {"metadata": {}}
    annotations, labels = (secret["metadata"].get(field) or {} for field in ("annotations", "labels"))
    made = names.APPLIED_ANNOTATION in annotations and names.KEY_LABEL not in labels
    graph = system.runs_neo4j or made or _has_volume(system, observed, names.NEO4J)
    return (names.POSTGRES, *([names.NEO4J] if graph else []), "admin-key")


def _values(
    system: System,
    observed: Observed,
    part: str,
    keys: tuple[str, ...],
    make: Callable[[], str],
    given: Mapping[str, str],
) -> tuple[dict[str, str], bool]:
    """The values of one Secret, what it lacks filled in, and whether a volume depends on one that is gone."""
    held = secret_values(observed.get("Secret", names.component(system.name, part)) or {})
    found = {key: held.get(key) or given.get(key) for key in keys}
    lost = not all(found.values()) and _has_volume(system, observed, part)
    return {key: value or make() for key, value in found.items()}, lost


def _given(system: System, observed: Observed, part: str) -> dict[str, str]:
    """The passwords of one part as the API was given them, while a volume depends on them; no weak ones.

    On those of a volume that is being deleted nothing depends: who deletes Secret and volume wants another password.
    """
    claim = observed.get("PersistentVolumeClaim", names.data_claim(system.name, part))
    if claim is None or claim["metadata"].get("deletionTimestamp"):
        return {}
    api = _api_secret(system, observed)
    if part == names.POSTGRES:
        urls = {"owner-password": "database_owner_url", "app-password": "database_url"}
        found = {key: _password(api.get(url, "")) for key, url in urls.items()}
    else:
        found = {"password": api.get("neo4j_password", "")}
    return {key: value for key, value in found.items() if value and weakness(value, SHORTEST_PASSWORD) is None}


def _api_secret(system: System, observed: Observed) -> dict[str, str]:
    return secret_values(observed.get("Secret", names.component(system.name, names.API)) or {})


def _password(url: str) -> str:
    """The password in a URL; empty where there is none."""
    try:
        return unquote(urlsplit(url).password or "")
    except ValueError:
        return ""


def _check_embedder(system: System, observed: Observed) -> None:
    """What the data was set up for binds while there is a volume; before and after, the record follows the spec."""
    if not _has_volume(system, observed, names.POSTGRES):
        return
    claim = names.data_claim(system.name, names.POSTGRES)
    secret = observed.get("Secret", names.component(system.name, names.POSTGRES))
    annotations = (secret or {}).get("metadata", {}).get("annotations") or {}
    # The API is deleted too: started anew beside the new volume, one of the old spec would set that up for itself.
    api, postgres = (names.component(system.name, part) for part in (names.API, names.POSTGRES))
    for field, annotation, asked in (
        ("spec.embedder", names.EMBEDDER_ANNOTATION, system.embedding.identity),
        ("spec.vectorStore.precision", names.PRECISION_ANNOTATION, system.embedding.precision),
    ):
        recorded = annotations.get(annotation)
        if recorded and recorded != asked:
            raise Rejected(
                f"{field}: PersistentVolumeClaim {claim} was set up for {recorded}, the spec asks for {asked}; set "
                f"{field} back to {recorded}, or give the system another name; or, if nothing is stored yet, have the "
                f"volume made anew, which deletes all that it holds: kubectl delete deployment/{api} "
                f"statefulset/{postgres} pvc/{claim} -n {system.namespace} --ignore-not-found"
            )


def _check_strength(system: System, observed: Observed) -> None:
    known = {
        names.POSTGRES: (POSTGRES_KEYS, SHORTEST_PASSWORD),
        names.NEO4J: (NEO4J_KEYS, SHORTEST_PASSWORD),
        "admin-key": (ADMIN_KEYS, SHORTEST_ADMIN_KEY),
    }
    for part in _used(system, observed):
        keys, shortest = known[part]
        values = secret_values(observed.get("Secret", names.component(system.name, part)) or {})
        in_header = part == "admin-key"
        told = {key: weakness(values[key], shortest, in_header=in_header) for key in keys if values.get(key)}
        if weak := {key: said for key, said in told.items() if said is not None}:
            raise _weak(system, part, weak, claimed=_has_volume(system, observed, part))


def _has_volume(system: System, observed: Observed, part: str) -> bool:
    return observed.get("PersistentVolumeClaim", names.data_claim(system.name, part)) is not None


def _weak(system: System, part: str, weak: Mapping[str, str], *, claimed: bool) -> Rejected:
    secret = names.component(system.name, part)
    what = ", ".join(f"key {key} {said}" for key, said in weak.items())
    operations = ", ".join(f'{{"op": "remove", "path": "/data/{key}"}}' for key in weak)
    remove = f"kubectl patch secret {secret} -n {system.namespace} --type=json -p '[{operations}]'"
    if part == names.NEO4J and claimed:
        claim = names.data_claim(system.name, part)
        way = (
            "Neo4j keeps the password that its volume was made with: delete the graph, which is rebuilt from "
            f"PostgreSQL, for a random one: kubectl delete secret/{secret} statefulset/{secret} pvc/{claim} "
            f"-n {system.namespace} --ignore-not-found"
        )
    elif part == names.POSTGRES and claimed:
        way = (
            f"give it a long random value, or have one made: {remove} && kubectl annotate memsys {system.name} "
            f"-n {system.namespace} {names.RESET_ANNOTATION}={names.POSTGRES}"
        )
    else:
        way = f"give it a long random value, or have one made: {remove}"
    return Rejected(f"Secret {secret}: {what}; {way}", reason="WeakCredentials")


def _postgres_lost(system: System) -> Broken:
    secret = names.component(system.name, names.POSTGRES)
    claim = names.data_claim(system.name, names.POSTGRES)
    return Broken(
        "CredentialsLost",
        f"PersistentVolumeClaim {claim} holds data but Secret {secret} (keys {', '.join(POSTGRES_KEYS)}) is gone. "
        f"Nothing is re-initialised. Restore the Secret from a backup; or let new passwords be set on the "
        f"existing data: kubectl annotate memsys {system.name} -n {system.namespace} "
        f"{names.RESET_ANNOTATION}={names.POSTGRES}",
    )


def _neo4j_lost(system: System) -> Broken:
    workload = names.component(system.name, names.NEO4J)
    claim = names.data_claim(system.name, names.NEO4J)
    return Broken(
        "CredentialsLost",
        f"PersistentVolumeClaim {claim} holds data but Secret {workload} (key password) is gone. Restore the Secret "
        f"from a backup; or delete the graph, which is rebuilt from PostgreSQL: kubectl delete "
        f"statefulset/{workload} pvc/{claim} -n {system.namespace} --ignore-not-found",
    )
