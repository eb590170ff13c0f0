"""The passwords and keys of one system: which exist, which are due, which are lost. Pure.

A password is made only while no volume depends on it. A volume whose Secret is gone is never given a new one
without being told to: the way out is in the message. A Secret that was made by hand or restored is adopted, unless it
holds a password that a stranger would try first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from memsys_operator import names
from memsys_operator.errors import Broken, Rejected
from memsys_operator.observed import Observed, secret_values
from memsys_operator.spec import System
from memsys_operator.weakness import weakness

POSTGRES_KEYS = ("superuser-password", "owner-password", "app-password")
NEO4J_KEYS = ("password",)
ADMIN_KEYS = ("key",)
#: Fewest characters of a password, and of the admin key, whose limit is the API's.
SHORTEST_PASSWORD, SHORTEST_ADMIN_KEY = 12, 16


@dataclass(frozen=True, slots=True)
class Generators:
    """Where new secrets come from; tests pass their own."""

    password: Callable[[], str]
    admin_key: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Credentials:
    """The values that the Secrets shall hold. ``neo4j`` is None when there is no graph or its password is lost.

    ``reset`` says that new PostgreSQL passwords were asked for by annotation and made just now.
    """

    postgres: Mapping[str, str]
    neo4j: Mapping[str, str] | None
    admin: Mapping[str, str]
    reset: bool = False
    graph_problem: Broken | None = None


def settle(system: System, observed: Observed, make: Generators) -> Credentials:
    """Keep what exists, make what is missing.

    Raises :class:`Broken` when the PostgreSQL volume exists without its Secret, and :class:`Rejected` when that
    volume was set up for another embedder or precision, or a Secret holds a weak password. A lost Neo4j password
    only takes the graph out (``graph_problem``): memories are still accepted, because PostgreSQL holds the truth.
    """
    _check_embedder(system, observed)
    _check_strength(system, observed)
    postgres, lost = _values(system, observed, names.POSTGRES, POSTGRES_KEYS, make.password)
    reset = lost and system.annotations.get(names.RESET_ANNOTATION) == names.POSTGRES
    if lost and not reset:
        raise _postgres_lost(system)
    neo4j: Mapping[str, str] | None = None
    graph_problem: Broken | None = None
    # A graph that was switched off keeps its Secret, because its volume is kept too.
    if system.runs_neo4j or observed.get("Secret", names.component(system.name, names.NEO4J)):
        neo4j, graph_lost = _values(system, observed, names.NEO4J, NEO4J_KEYS, make.password)
        if graph_lost:
            neo4j, graph_problem = None, _neo4j_lost(system) if system.runs_neo4j else None
    admin, _ = _values(system, observed, "admin-key", ADMIN_KEYS, make.admin_key)
    return Credentials(postgres, neo4j, admin, reset, graph_problem)


def _values(
    system: System, observed: Observed, part: str, keys: tuple[str, ...], make: Callable[[], str]
) -> tuple[dict[str, str], bool]:
    """The values of one Secret, new ones filled in, and whether a volume depends on one that is gone."""
    secret = observed.get("Secret", names.component(system.name, part))
    found = secret_values(secret) if secret else {}
    missing = [key for key in keys if not found.get(key)]
    lost = bool(missing) and _has_volume(system, observed, part)
    return {key: found.get(key) or make() for key in keys}, lost


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
    known = (
        (names.POSTGRES, POSTGRES_KEYS, SHORTEST_PASSWORD),
        (names.NEO4J, NEO4J_KEYS, SHORTEST_PASSWORD),
        ("admin-key", ADMIN_KEYS, SHORTEST_ADMIN_KEY),
    )
    for part, keys, shortest in known:
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
