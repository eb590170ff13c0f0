from __future__ import annotations

from memsys_operator import startup
from memsys_operator.observed import Observed

from .support import secret, seen, system, workload

POSTGRES, API, MCP = (
    workload("StatefulSet", "m-postgres"), workload("Deployment", "m-api"), workload("Deployment", "m-mcp"),
)  # fmt: skip
KEYED = {"embedder": {"provider": "openai", "model": "text-embedding-3-small", "apiKeySecretRef": {"name": "k"}}}


def test_servers_wait_for_what_they_need() -> None:
    assert {p: w.reason for p, w in startup.holds(system(), Observed()).items()} == {
        "api": "WaitingForPostgres",
        "mcp": "WaitingForAPI",
    }
    assert set(startup.holds(system(), seen(POSTGRES))) == {"mcp"}
    assert startup.holds(system(), seen(POSTGRES, API)) == {}


def test_the_api_does_not_wait_for_the_graph() -> None:
    graph = workload("StatefulSet", "m-neo4j", ready=0)
    assert "api" not in startup.holds(system(), seen(POSTGRES, graph))


def test_what_runs_is_not_held_because_something_blinks() -> None:
    away = workload("StatefulSet", "m-postgres", ready=0)
    idle = workload("Deployment", "m-api", ready=0)
    assert startup.holds(system(), seen(away, idle, MCP)) == {}


def test_a_missing_secret_or_key_holds_the_api_and_is_named() -> None:
    target = system(KEYED)
    missing = startup.holds(target, seen(POSTGRES, API, MCP, references={"k": None}))["api"]
    assert missing.reason == "SecretNotFound"
    assert "spec.embedder.apiKeySecretRef: Secret k does not exist" in missing.message
    wrong = startup.holds(target, seen(POSTGRES, references={"k": secret("k", {"other": "v"})}))["api"]
    assert "Secret k has no key api-key" in wrong.message
    assert "api" not in startup.holds(target, seen(POSTGRES, references={"k": secret("k", {"api-key": "v"})}))
