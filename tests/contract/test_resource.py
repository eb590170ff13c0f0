"""The resource definition: what it refuses, and in which words; at the beginning, and of a live system."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from .support import Kubectl, Refused, System, manifest

OPENAI = {"provider": "openai", "model": "text-embedding-3-small", "apiKeySecretRef": {"name": "openai"}}

TOKENS = {"auth": "keys+oauth", "oauth": {"issuers": ["https://i.test"]}, "apiKeySecretRef": {"name": "k"}}

REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown embedder": (
        {"embedder": {"provider": "telepathy"}},
        ["spec.embedder.provider", '"builtin", "openai", "ollama", "together"'],
    ),
    "unknown llm": (
        {"llm": {"provider": "oracle"}},
        ["spec.llm.provider", '"none", "openai", "ollama", "anthropic", "openai_structured", "groq"'],
    ),
    "a model for no llm": ({"llm": {"model": "gpt-4.1-mini"}}, ["spec.llm", "neither model nor baseURL"]),
    "llm without a model": ({"llm": {"provider": "ollama", "baseURL": "http://o:1"}}, ["spec.llm.model", "required"]),
    "openai llm without a key": (
        {"llm": {"provider": "openai", "model": "gpt-4.1-mini"}},
        ["spec.llm.apiKeySecretRef", "Secret", "baseURL"],
    ),
    "anthropic llm without a key": (
        {"llm": {"provider": "anthropic", "model": "claude", "baseURL": "http://relay"}},
        ["spec.llm.apiKeySecretRef", "Secret"],
    ),
    "a service's llm without a key": (
        {"llm": {"provider": "groq", "model": "llama3.1", "baseURL": "http://relay"}},
        ["spec.llm.apiKeySecretRef", "Secret"],
    ),
    "a server's llm without an address": (
        {"llm": {"provider": "vllm", "model": "llama3.1"}},
        ["spec.llm.baseURL", "http://"],
    ),
    "a key for an identity": (
        {"llm": {"provider": "aws_bedrock", "model": "m", "apiKeySecretRef": {"name": "k"}}},
        ["spec.llm.apiKeySecretRef", "spec.api.serviceAccountAnnotations"],
    ),
    "a service's embedder without a key": (
        {"embedder": {"provider": "gemini", "model": "gemini-embedding-001"}},
        ["spec.embedder.apiKeySecretRef", "Secret"],
    ),
    "a server's embedder without an address": (
        {"embedder": {"provider": "lmstudio", "model": "m", "dimensions": 8}},
        ["spec.embedder.baseURL", "http://"],
    ),
    "an embedder's key for an identity": (
        {"embedder": {"provider": "aws_bedrock", "model": "m", "apiKeySecretRef": {"name": "k"}}},
        ["spec.embedder.apiKeySecretRef", "spec.api.serviceAccountAnnotations"],
    ),
    "unknown reranker": ({"reranker": {"provider": "dice"}}, ["spec.reranker.provider", '"none", "llm", "cohere"']),
    "a model for no reranker": ({"reranker": {"model": "m"}}, ["spec.reranker", "neither model nor baseURL"]),
    "a reranker without a key": (
        {"reranker": {"provider": "cohere"}},
        ["spec.reranker.apiKeySecretRef", "Secret", "baseURL"],
    ),
    "a reranker without a language model": ({"reranker": {"provider": "llm"}}, ["spec.reranker.provider", "spec.llm"]),
    "a reranker of one": ({"reranker": {"topN": 1}}, ["spec.reranker.topN", "2"]),
    "sealing keys of nowhere": (
        {"api": {"webhooks": {"sealingKeysSecretRef": {}}}},
        ["spec.api.webhooks.sealingKeysSecretRef.name", "Required"],
    ),
    "a ledger without knowing of backups": (
        {"api": {"retention": {"erasureLedgerDays": 30}}},
        ["spec.api.retention.erasureLedgerDays", "backupDays"],
    ),
    "a ledger shorter than backups": (
        {"api": {"retention": {"erasureLedgerDays": 30, "backupDays": 30}}},
        ["spec.api.retention.erasureLedgerDays", "longer"],
    ),
    "an audit trail of less than nothing": (
        {"api": {"retention": {"auditDays": -1}}},
        ["spec.api.retention.auditDays", "0"],
    ),
    "a queue for ever": ({"mcp": {"writeQueueHours": 1000}}, ["spec.mcp.writeQueueHours", "168"]),
    "ollama llm without an address": (
        {"llm": {"provider": "ollama", "model": "llama3.1"}},
        ["spec.llm.baseURL", "http://"],
    ),
    "an llm address without a scheme": (
        {"llm": {"provider": "ollama", "model": "llama3.1", "baseURL": "ollama:11434"}},
        ["spec.llm.baseURL", "https://"],
    ),
    "unknown vector store": ({"vectorStore": {"provider": "abacus"}}, ["spec.vectorStore.provider", '"pgvector"']),
    "unknown graph": ({"graph": {"provider": "corkboard"}}, ["spec.graph.provider", '"neo4j", "neptune", "none"']),
    "a Secret of another namespace": (
        {"llm": {"provider": "groq", "model": "m", "apiKeySecretRef": {"name": "../../other/secrets/s"}}},
        ["spec.llm.apiKeySecretRef.name", "should match"],
    ),
    "a Secret that is none": (
        {"images": {"pullSecrets": [{"name": ".."}]}},
        ["spec.images.pullSecrets[0].name", "should match"],
    ),
    "a key that leads out of its Secret": (
        {"mcp": {"apiKeySecretRef": {"name": "s", "key": "../s"}}},
        ["spec.mcp.apiKeySecretRef.key", "should match"],
    ),
    "a Gateway by its path": (
        {"expose": {"mcp": {"host": "a.b"}, "gateway": {"name": "../secrets/s", "namespace": "a/b"}}},
        ["spec.expose.gateway.name", "spec.expose.gateway.namespace", "should match"],
    ),
    "more memory than its limit": (
        {"postgres": {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1024Mi"}}}},
        ["spec.postgres.resources", "requests.memory", "limits.memory", "lower it"],
    ),
    "more of a number than its limit": (
        {"api": {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}}},
        ["spec.api.resources", "requests.cpu"],
    ),
    "more of a disk than its limit": (
        {"mcp": {"resources": {"requests": {"ephemeral-storage": "1.5G"}, "limits": {"ephemeral-storage": "1e9"}}}},
        ["spec.mcp.resources", "requests.ephemeral-storage"],
    ),
    "unknown field": ({"embeder": {"provider": "builtin"}}, ['unknown field "spec.embeder"']),
    "unknown nested field": (
        {"postgres": {"storage": {"sise": "1Gi"}}},
        ['unknown field "spec.postgres.storage.sise"'],
    ),
    "negative storage": ({"postgres": {"storage": {"size": "-1Gi"}}}, ["spec.postgres.storage", "above 0"]),
    "no storage": ({"graph": {"storage": {"size": "0"}}}, ["spec.graph.storage", "above 0"]),
    "storage without a number": ({"postgres": {"storage": {"size": "lots"}}}, ["spec.postgres.storage", "10Gi"]),
    "dimensions against the built-in model": (
        {"embedder": {"provider": "builtin", "dimensions": 1536}},
        ["spec.embedder.dimensions", "384"],
    ),
    "another built-in model": (
        {"embedder": {"provider": "builtin", "model": "bge-m3"}},
        ["spec.embedder.model", "all-MiniLM-L6-v2"],
    ),
    "dimensions above the model's": (
        {"embedder": {**OPENAI, "dimensions": 3072}},
        ["spec.embedder.dimensions", "1536"],
    ),
    "too many dimensions": ({"embedder": {**OPENAI, "dimensions": 20000}}, ["spec.embedder.dimensions", "16000"]),
    "openai without a model": (
        {"embedder": {"provider": "openai", "apiKeySecretRef": {"name": "openai"}}},
        ["spec.embedder.model", "required"],
    ),
    "openai without a key": (
        {"embedder": {"provider": "openai", "model": "text-embedding-3-small"}},
        ["spec.embedder.apiKeySecretRef", "Secret"],
    ),
    "ollama without an address": (
        {"embedder": {"provider": "ollama", "model": "nomic-embed-text"}},
        ["spec.embedder.baseURL", "http://"],
    ),
    "an address without a scheme": (
        {"embedder": {"provider": "ollama", "model": "nomic-embed-text", "baseURL": "ollama:11434"}},
        ["spec.embedder.baseURL", "https://"],
    ),
    "a key for the built-in embedder": (
        {"embedder": {"provider": "builtin", "apiKeySecretRef": {"name": "openai"}}},
        ["spec.embedder", "neither baseURL nor apiKeySecretRef"],
    ),
    "hnsw on float32 above 2000": (
        {
            "embedder": {**OPENAI, "model": "text-embedding-3-large", "dimensions": 3072},
            "vectorStore": {"index": "hnsw", "precision": "float32"},
        },
        ["spec.vectorStore.index", "2000", "halfvec"],
    ),
    "hnsw above 4000": (
        {"embedder": {**OPENAI, "model": "own-model", "dimensions": 5000}, "vectorStore": {"index": "hnsw"}},
        ["spec.vectorStore.index", "4000"],
    ),
    "manual isolation without a project": (
        {"mcp": {"isolation": "manual"}},
        ["spec.mcp.project", "manual"],
    ),
    "a project with auto isolation": ({"mcp": {"project": "a"}}, ["spec.mcp.project", "auto"]),
    "a project name in capitals": (
        {"mcp": {"isolation": "manual", "project": "Team A"}},
        ["spec.mcp.project"],
    ),
    "an index elsewhere without an address": (
        {"vectorStore": {"provider": "qdrant"}},
        ["spec.vectorStore.url", "required"],
    ),
    "an address for pgvector": ({"vectorStore": {"url": "http://q:1"}}, ["spec.vectorStore", "neither url"]),
    "an address with a password": (
        {"vectorStore": {"provider": "qdrant", "url": "http://me:secret@q:1"}},
        ["spec.vectorStore.url", "without a user"],
    ),
    "pinecone without a key": (
        {"vectorStore": {"provider": "pinecone"}},
        ["spec.vectorStore.apiKeySecretRef", "Secret"],
    ),
    "gRPC for qdrant": (
        {"vectorStore": {"provider": "qdrant", "url": "http://q:1", "grpcURL": "http://q:2"}},
        ["spec.vectorStore.grpcURL", "weaviate alone"],
    ),
    "a region for qdrant": (
        {"vectorStore": {"provider": "qdrant", "url": "http://q:1", "region": "r"}},
        ["spec.vectorStore", "pinecone alone"],
    ),
    "Neptune without an address": ({"graph": {"provider": "neptune"}}, ["spec.graph.neptune", "set both"]),
    "signed requests for no region": (
        {"graph": {"provider": "neptune", "neptune": {"endpoint": "https://n.test:8182"}}},
        ["spec.graph.neptune.region", "iamAuth"],
    ),
    "no requests at all": ({"api": {"requestsPerMinute": 0}}, ["spec.api.requestsPerMinute", "1"]),
    "an unknown quarantine": (
        {"api": {"quarantine": "burn"}},
        ["spec.api.quarantine", '"off", "flag", "hold", "refuse"'],
    ),
    "proxies anywhere": (
        {"mcp": {"trustedProxies": ["*"]}},
        ["spec.mcp.trustedProxies"],
    ),
    "a network that is none": (
        {"api": {"webhooks": {"allowedNetworks": ["10.0.0.0/64"]}}},
        ["spec.api.webhooks.allowedNetworks"],
    ),
    "anybody, but not in words": (
        {"mcp": {"auth": "none"}},
        ["spec.mcp.auth", '"none-i-understand-that-anyone-may-read-and-write"'],
    ),
    "anybody, with nobody's key": (
        {"mcp": {"auth": "none-i-understand-that-anyone-may-read-and-write"}},
        ["spec.mcp.apiKeySecretRef", "key of its own"],
    ),
    "a key that nobody uses": ({"mcp": {"apiKeySecretRef": {"name": "k"}}}, ["spec.mcp.apiKeySecretRef", "remove it"]),
    "tokens of no issuer": (
        {"mcp": {"auth": "keys+oauth", "apiKeySecretRef": {"name": "k"}}},
        ["spec.mcp.oauth", "set both"],
    ),
    "an issuer whose tokens are not taken": ({"mcp": {"oauth": {"issuers": ["https://i.test"]}}}, ["spec.mcp.oauth"]),
    "tokens for an address that nobody knows": (
        {"mcp": TOKENS},
        ["spec.mcp.publicURL", "spec.expose.mcp"],
    ),
    "an issuer in plain http": (
        {"mcp": {**TOKENS, "publicURL": "https://m.test", "oauth": {"issuers": ["http://i.test"]}}},
        ["spec.mcp.oauth", "https"],
    ),
    "one address for the keys of two issuers": (
        {
            "mcp": {
                **TOKENS,
                "publicURL": "https://m.test",
                "oauth": {"issuers": ["https://i.test", "https://j.test"], "jwksURL": "https://i.test/jwks"},
            }
        },
        ["spec.mcp.oauth.jwksURL", "one issuer"],
    ),
    "a scope without a project": (
        {
            "mcp": {
                **TOKENS,
                "publicURL": "https://m.test",
                "oauth": {"issuers": ["https://i.test"], "scopePattern": "x"},
            }
        },
        ["spec.mcp.oauth.scopePattern", "{project}"],
    ),
    "a public address with a path": ({"mcp": {"publicURL": "https://m.test/mcp"}}, ["spec.mcp.publicURL"]),
    "traces to nowhere": ({"tracing": {"otlpEndpoint": "collector:4318"}}, ["spec.tracing.otlpEndpoint", "http://"]),
    "no replicas": ({"api": {"replicas": 0}}, ["spec.api.replicas", "1"]),
    "a privileged port": ({"api": {"port": 80}}, ["spec.api.port", "1024"]),
    "one port twice": ({"graph": {"ports": {"http": 7687}}}, ["spec.graph.ports", "differ"]),
    "a setting of the operator's": (
        {"postgres": {"parameters": {"listen_addresses": "*"}}},
        ["spec.postgres.parameters", "listen_addresses"],
    ),
    "a setting with a strange name": (
        {"postgres": {"parameters": {"x; drop": "1"}}},
        ["spec.postgres.parameters", "lower-case"],
    ),
    "an annotation of an ingress that is none": (
        {"expose": {"mcp": {"host": "m.test"}, "annotations": {"no key!": "x"}}},
        ["spec.expose.annotations", "example.com/name"],
    ),
    "an annotation of a ServiceAccount that is none": (
        {"api": {"serviceAccountAnnotations": {"a/b/c": "x"}}},
        ["spec.api.serviceAccountAnnotations", "example.com/name"],
    ),
    "a resource that is no quantity": (
        {"api": {"resources": {"requests": {"memory": "lots"}}}},
        ["spec.api.resources.requests.memory"],
    ),
    "an unknown policy": ({"deletionPolicy": "Shred"}, ["spec.deletionPolicy", '"Retain", "Delete"']),
    "hurried syncs": ({"sync": {"intervalSeconds": 0}}, ["spec.sync.intervalSeconds", "5"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_carried_out_is_refused_with_field_and_remedy(system: System, case: str) -> None:
    spec, words = REFUSED[case]
    with pytest.raises(Refused) as refused:
        system.apply(spec)
    text = " ".join(str(refused.value).split())
    for word in words:
        assert word in text
    assert system.kubectl.get("memsys", system.name) is None


@pytest.mark.parametrize(
    ("name", "word"), [("a" * 41, "40 characters"), ("1st", "begins with a letter"), ("a.b", "DNS")]
)
def test_names_that_cannot_name_a_service_are_refused(namespace: Kubectl, name: str, word: str) -> None:
    with pytest.raises(Refused, match=word):
        namespace.apply(manifest(name, {}))


STORED = {
    "postgres": {"storage": {"size": "10Gi", "storageClassName": "growing"}},
    "graph": {"storage": {"size": "10Gi"}},
}
CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "another storage class": ({"postgres": {"storage": {"storageClassName": "fixed"}}}, "cannot change"),
    "a storage class where none was named": ({"graph": {"storage": {"storageClassName": "fixed"}}}, "cannot change"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_cannot_change_is_refused_on_a_live_system(system: System, case: str) -> None:
    change, word = CHANGES[case]
    system.apply(STORED)
    changed = copy.deepcopy(STORED)
    for part, values in change.items():
        changed[part]["storage"] |= values["storage"]
    with pytest.raises(Refused, match=word):
        system.apply(changed)


@pytest.mark.parametrize("size", ["10240Mi", "11Gi", "5Gi"])
def test_another_size_is_admitted_because_what_the_storage_does_not_give_can_be_taken_back(
    system: System, size: str
) -> None:
    system.apply(STORED)
    changed = copy.deepcopy(STORED)
    changed["postgres"]["storage"]["size"] = size
    system.apply(changed)
