"""What the spec says of the API and the MCP server, and whether they understand what the operator tells them."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.fernet import Fernet

from memsys_api.settings import Settings as APISettings
from memsys_mcp.settings import Settings as MCPSettings
from memsys_mcp.settings.auth import Auth
from memsys_operator import names, startup
from memsys_operator.observed import Manifest, Observed, key_of
from memsys_operator.resources import api, mcp, references

from .support import claim, desired, find, secret, seen, system, workload

SAMPLES = Path(__file__).resolve().parents[3] / "crds/samples"
COMPLETE: dict[str, Any] = yaml.safe_load((SAMPLES / "complete.yaml").read_text())["spec"]
KEY = "msk_key-of-the-server"
#: What a graph that was switched off has left behind; also there while one runs.
KEPT_GRAPH = seen(claim("data-m-neo4j-0"))
OAUTH = {
    "mcp": {"auth": "keys+oauth", "oauth": {"issuers": ["https://i.test"]}, "apiKeySecretRef": {"name": "k"}},
    "expose": {"mcp": {"host": "m.test"}},
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A pod's: what the operator sets and nothing else, with an empty folder of secrets."""
    for name in (*api.environment(system(COMPLETE), KEPT_GRAPH), *mcp.environment(system(COMPLETE))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    return monkeypatch


def started_api(environment: pytest.MonkeyPatch, folder: Path, spec: dict[str, Any], **secrets: str) -> APISettings:
    """The settings of an API that is started with what the operator gives it. Raises when it would refuse them."""
    files = {"database_url": "postgresql://a:b@h/m", "memsys_admin_key": "k" * 16, "neo4j_password": "p", **secrets}
    _enter(environment, folder, api.environment(system(spec), KEPT_GRAPH), files)
    return APISettings()


def started_mcp(environment: pytest.MonkeyPatch, folder: Path, spec: dict[str, Any], **secrets: str) -> MCPSettings:
    _enter(environment, folder, mcp.environment(system(spec)), secrets)
    return MCPSettings()


def _enter(environment: pytest.MonkeyPatch, folder: Path, values: dict[str, str | int], files: dict[str, str]) -> None:
    for name, value in values.items():
        environment.setenv(name, str(value))
    for name, text in files.items():
        (folder / name).write_text(text)
    environment.setenv("MEMSYS_SECRETS_DIR", str(folder))


def test_the_api_understands_the_defaults(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = started_api(environment, tmp_path, {})
    assert (settings.quarantine, settings.service_accounts, settings.vector_store) == ("flag", "off", "pgvector")
    assert (settings.rate_limit_per_minute, settings.llm_tokens_per_day) == (None, None)
    assert settings.webhooks_enabled
    assert settings.webhook_allowed_networks == ()
    assert (settings.reranker_provider, settings.webhook_secret_keys) == ("none", None)
    assert (settings.audit_retention_days, settings.erasure_ledger_retention_days) == (365, 0)
    assert (settings.backup_retention_days, settings.mcp_queue_hours) == (None, None)
    assert settings.kept_graph_volume is None
    assert settings.host == "*"


def test_the_api_understands_everything(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = copy.deepcopy(COMPLETE)
    spec["api"] |= {"tokenReview": True, "webhooks": {"enabled": False, "allowedNetworks": ["10.0.0.0/8", "fd00::/8"]}}
    sealing = Fernet.generate_key().decode()
    secrets = {"vector_store_api_key": "v", "reranker_api_key": "r", "webhook_secret_keys": sealing}
    settings = started_api(environment, tmp_path, spec, **secrets)
    assert (settings.quarantine, settings.service_accounts) == ("hold", "on")
    assert (settings.reranker_provider, settings.reranker_model) == ("cohere", "rerank-v3.5")
    assert (settings.reranker_top_n, settings.reranker_timeout_seconds) == (20, 5)
    assert settings.reranker_base_url == "https://api.cohere.com"
    assert settings.webhook_secret_keys is not None
    assert settings.webhook_secret_keys.get_secret_value() == sealing
    assert (settings.audit_retention_days, settings.backup_retention_days) == (365, 30)
    assert (settings.erasure_ledger_retention_days, settings.mcp_queue_hours) == (400, 48)
    assert (settings.rate_limit_per_minute, settings.llm_tokens_per_day) == (600, 2_000_000)
    assert not settings.webhooks_enabled
    assert [str(network) for network in settings.webhook_allowed_networks] == ["10.0.0.0/8", "fd00::/8"]
    assert (settings.vector_store, settings.vector_store_url) == ("qdrant", "http://qdrant.vectors.svc:6333")
    assert settings.vector_store_collection == "team"
    assert settings.vector_store_api_key is not None


@pytest.mark.parametrize("provider", ["pinecone", "weaviate"])
def test_the_api_understands_the_samples_of_vector_indexes(
    environment: pytest.MonkeyPatch, tmp_path: Path, provider: str
) -> None:
    spec = yaml.safe_load((SAMPLES / f"vectors-in-{provider}.yaml").read_text())["spec"]
    settings = started_api(environment, tmp_path, spec, vector_store_api_key="v")
    assert settings.vector_store == provider
    # Nobody named a collection, so that of another system in the same index must not be met.
    assert settings.vector_store_collection.startswith("memsys")
    assert len(settings.vector_store_collection) > len("memsys")


def test_the_api_understands_a_graph_in_neptune_and_no_neo4j_is_made(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = yaml.safe_load((SAMPLES / "graph-in-neptune.yaml").read_text())["spec"]
    settings = started_api(environment, tmp_path, spec)
    assert (settings.graph_store, settings.aws_region, settings.neptune_iam) == ("neptune", "eu-central-1", True)
    assert settings.neptune_endpoint == spec["graph"]["neptune"]["endpoint"]
    manifests = desired(system(spec))
    assert not [key for key in map(key_of, manifests) if "neo4j" in key[1]]
    annotations = find(manifests, "ServiceAccount", "m-api")["metadata"]["annotations"]
    assert annotations == spec["api"]["serviceAccountAnnotations"]


NEPTUNE = {"endpoint": "https://e.test:8182", "region": "eu-central-1"}


@pytest.mark.parametrize("graph", [{"provider": "none"}, {"provider": "neptune", "neptune": NEPTUNE}])
def test_the_api_is_told_of_the_volume_that_a_graph_has_left_behind(
    environment: pytest.MonkeyPatch, tmp_path: Path, graph: dict[str, Any]
) -> None:
    settings = started_api(environment, tmp_path, {"graph": graph})
    assert settings.kept_graph_volume == "PersistentVolumeClaim n/data-m-neo4j-0"
    assert "MEMSYS_KEPT_GRAPH_VOLUME" not in api.environment(system({"graph": graph}), Observed())


def test_the_mcp_server_understands_the_defaults(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = started_mcp(environment, tmp_path, {})
    assert (settings.auth, settings.write_queue, settings.service_key) == (Auth.KEYS, "off", None)


def test_the_mcp_server_understands_everything(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = started_mcp(environment, tmp_path, COMPLETE, memsys_mcp_api_key=KEY)
    said = COMPLETE["mcp"]["oauth"]
    assert settings.auth is Auth.KEYS_AND_OAUTH
    assert settings.oauth_issuers == tuple(said["issuers"])
    assert settings.oauth_audiences == tuple(said["audiences"])
    assert settings.oauth_jwks_url == said["jwksURL"]
    assert settings.oauth_scope_pattern == said["scopePattern"]
    assert (settings.oauth_projects_claim, settings.oauth_user_claim) == (said["projectsClaim"], said["userClaim"])
    assert settings.public_url == "https://memory.example.com"
    assert settings.service_key is not None
    assert settings.service_key.get_secret_value() == KEY
    assert (settings.write_queue, settings.queue_hours) == (1000, 48)
    assert settings.trusted_proxies == ("10.42.0.0/16",)
    assert str(settings.queue_dir).startswith(mcp.QUEUE_VOLUME)


def test_the_mcp_server_understands_that_anyone_may_call(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = {"mcp": {"auth": Auth.NONE.value, "apiKeySecretRef": {"name": "k"}}}
    assert started_mcp(environment, tmp_path, spec, memsys_mcp_api_key=KEY).auth is Auth.NONE


@pytest.mark.parametrize(
    ("expose", "url"),
    [
        (None, None),
        ({"api": {"host": "a.test"}}, None),
        ({"mcp": {"host": "m.test"}}, "http://m.test"),
        ({"mcp": {"host": "m.test"}, "tls": {"secretName": "t"}}, "https://m.test"),
        ({"mcp": {"host": "m.test"}, "gateway": {"name": "g"}}, "https://m.test"),
    ],
)
def test_the_public_address_is_the_exposed_one_unless_the_spec_says(expose: dict[str, Any] | None, url: str) -> None:
    assert mcp.public_url(system({"expose": expose} if expose else {})) == url
    said = system({"mcp": {"publicURL": "https://own.test"}} | ({"expose": expose} if expose else {}))
    assert mcp.public_url(said) == "https://own.test"


def test_the_mcp_servers_key_is_a_mounted_file_whose_change_replaces_the_pods() -> None:
    def template(value: str) -> Manifest:
        observed = seen(references={"k": secret("k", {"key": value})})
        found: Manifest = find(desired(system(OAUTH), observed), "Deployment", "m-mcp")["spec"]["template"]
        assert value not in str(found)
        return found

    one, two = template("msk_first"), template("msk_second")
    (volume,) = [v for v in one["spec"]["volumes"] if v["name"] == "secrets"]
    assert volume["projected"]["sources"] == [
        {"secret": {"name": "k", "items": [{"key": "key", "path": "memsys_mcp_api_key"}]}}
    ]
    checksums = [t["metadata"]["annotations"][names.CHECKSUM_ANNOTATION] for t in (one, two)]
    assert len(set(checksums)) == 2


def test_without_a_key_of_its_own_the_mcp_server_holds_no_secret() -> None:
    pod = find(desired(system()), "Deployment", "m-mcp")["spec"]["template"]["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp"]


def test_the_mcp_server_waits_for_its_key() -> None:
    up = (workload("StatefulSet", "m-postgres"), workload("Deployment", "m-api"), workload("Deployment", "m-mcp"))
    missing = startup.holds(system(OAUTH), seen(*up, references={"k": None}))["mcp"]
    assert "spec.mcp.apiKeySecretRef: Secret k does not exist" in missing.message
    assert startup.holds(system(OAUTH), seen(*up, references={"k": secret("k", {"key": KEY})})) == {}


def test_the_apis_own_token_is_mounted_only_where_it_reviews_tokens() -> None:
    def pod(spec: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = find(desired(system(spec)), "Deployment", "m-api")["spec"]["template"]["spec"]
        return found

    assert api.SERVICE_ACCOUNT_DIR not in str(pod({}))
    reviewing = pod({"api": {"tokenReview": True}})
    (volume,) = [v for v in reviewing["volumes"] if v["name"] == "service-account"]
    assert [set(source) for source in volume["projected"]["sources"]] == [{"serviceAccountToken"}, {"configMap"}]
    mount = {"name": "service-account", "mountPath": api.SERVICE_ACCOUNT_DIR, "readOnly": True}
    assert mount in reviewing["containers"][0]["volumeMounts"]
    assert reviewing["automountServiceAccountToken"] is False


def test_traces_go_where_the_spec_says_from_both_servers() -> None:
    traced = system({"tracing": {"otlpEndpoint": "http://c.test:4318"}})
    both = (partial(api.environment, observed=Observed()), mcp.environment)
    for environment in both:
        assert environment(traced)["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://c.test:4318"
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in environment(system())


def test_kept_writes_stand_on_a_volume_of_the_pods_own() -> None:
    pod = find(desired(system({"mcp": {"writeQueue": 5}}), Observed()), "Deployment", "m-mcp")["spec"]["template"][
        "spec"
    ]
    assert {"name": "queue", "emptyDir": {}} in pod["volumes"]
    assert {"name": "queue", "mountPath": mcp.QUEUE_VOLUME} in pod["containers"][0]["volumeMounts"]


@pytest.mark.parametrize(
    ("spec", "field", "setting"),
    [
        (
            {"reranker": {"provider": "cohere", "apiKeySecretRef": {"name": "s", "key": "k"}}},
            "spec.reranker.apiKeySecretRef",
            "reranker_api_key",
        ),
        (
            {"api": {"webhooks": {"sealingKeysSecretRef": {"name": "s", "key": "k"}}}},
            "spec.api.webhooks.sealingKeysSecretRef",
            "webhook_secret_keys",
        ),
    ],
)
def test_a_secret_that_is_missing_is_waited_for_by_its_field(spec: dict[str, Any], field: str, setting: str) -> None:
    named = system(spec)
    said = references.missing(named, names.API, Observed())
    assert said is not None
    assert said.startswith(f"{field}: Secret s does not exist")
    held = seen(references={"s": secret("s", {"k": "value"})})
    assert references.missing(named, names.API, held) is None
    assert references.values(named, names.API, held) == {setting: "value"}
