"""What the API tells Prometheus. Labels have few values: routes, methods, statuses; never ids or projects."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.gc_collector import GCCollector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter("memsys_api_requests_total", "Requests answered.", ["route", "method", "status"], registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "memsys_api_request_seconds", "Time to answer a request.", ["route", "method"], buckets=_LATENCY, registry=REGISTRY
)
REFUSED = Counter(
    "memsys_api_refused_total",
    "Requests refused by who makes them, by the problem: unauthenticated, forbidden, rate-limited.",
    ["problem"],
    registry=REGISTRY,
)
QUARANTINE = Counter(
    "memsys_quarantine_total",
    "Suspect writes by what became of them: flagged (stored and marked), held, refused, released, rejected.",
    ["outcome"],
    registry=REGISTRY,
)
for _outcome in ("flagged", "held", "refused", "released", "rejected"):
    QUARANTINE.labels(_outcome)
QUARANTINE_WAITING = Gauge("memsys_quarantine_waiting", "Held writes that wait for review.", registry=REGISTRY)
RATE_LIMIT_BLIND = Counter(
    "memsys_api_rate_limit_blind_total",
    "Times that a replica kept a rate limit by itself, because PostgreSQL could not be asked.",
    registry=REGISTRY,
)
EMBED_SECONDS = Histogram(
    "memsys_api_embed_seconds", "Time of one embedding call.", buckets=_LATENCY, registry=REGISTRY
)
EMBED_TEXTS = Counter("memsys_api_embed_texts_total", "Texts given to the embedder.", registry=REGISTRY)
EMBED_ERRORS = Counter("memsys_api_embed_errors_total", "Embedding calls that failed.", registry=REGISTRY)
GRAPH_SEARCHES = Counter(
    "memsys_api_graph_searches_total",
    "Searches by what the graph did for them: answered, failed, skipped (known to be away).",
    ["outcome"],
    registry=REGISTRY,
)
VECTOR_SEARCHES = Counter(
    "memsys_api_vector_searches_total",
    "Searches by what the external vector index did for them: answered, failed, skipped (away, not filled, behind); "
    "unless it answered, PostgreSQL searched.",
    ["outcome"],
    registry=REGISTRY,
)
RERANKS = Counter(
    "memsys_api_reranks_total",
    "Searches by what the reranker did for them: answered, failed, skipped (left alone after it failed, or past the "
    "project's budget of the language model); unless it answered, they were answered as ranked.",
    ["outcome"],
    registry=REGISTRY,
)
RERANK_SECONDS = Histogram(
    "memsys_api_rerank_seconds", "Time a search waited for the reranker.", buckets=_LATENCY, registry=REGISTRY
)
READY = Gauge("memsys_api_ready", "1 when requests are served.", registry=REGISTRY)
POOL = Gauge("memsys_api_database_pool", "Connections and callers of the pool.", ["state"], registry=REGISTRY)
SINK_PENDING = Gauge("memsys_sink_pending", "Deliveries that wait.", ["sink"], registry=REGISTRY)
SINK_PARKED = Gauge("memsys_sink_parked", "Deliveries that gave up.", ["sink"], registry=REGISTRY)
SINK_LAG = Gauge(
    "memsys_sink_lag_seconds", "Age of the oldest delivery that is still to come.", ["sink"], registry=REGISTRY
)
SINK_AVAILABLE = Gauge("memsys_sink_available", "1 while the sink answers.", ["sink"], registry=REGISTRY)
SINK_DELIVERIES = Counter(
    "memsys_sink_deliveries_total",
    "Attempts to apply a delivery, by what came of them: applied, away, record.",
    ["sink", "outcome"],
    registry=REGISTRY,
)

_PATIENCE = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
INFER_SECONDS = Histogram("memsys_inference_seconds", "Time of one inference.", buckets=_PATIENCE, registry=REGISTRY)
INFERENCES = Counter(
    "memsys_inference_total",
    "Inferences by outcome: inferred, truncated (inferred, but the answer was cut off), trivia (nothing to ask about), "
    "unavailable, malformed, rejected.",
    ["outcome"],
    registry=REGISTRY,
)
SHAPINGS = Counter(
    "memsys_shaping_total",
    "Exports given the shape they were asked for, by outcome: shaped, unavailable, malformed, rejected.",
    ["outcome"],
    registry=REGISTRY,
)
DECISIONS = Counter(
    "memsys_inference_decisions_total",
    "What the language model decided about facts: add, supersede, nothing; dropped: could not be used.",
    ["decision"],
    registry=REGISTRY,
)
LLM_CALLS = Counter("memsys_llm_calls_total", "Calls of the language model that were answered.", registry=REGISTRY)
LLM_TOKENS = Counter(
    "memsys_llm_tokens_total",
    "Tokens of answered calls, by direction: input, output.",
    ["direction"],
    registry=REGISTRY,
)
LLM_OVER_BUDGET = Counter(
    "memsys_llm_over_budget_total",
    "Inferences put off, of adds and back-fills, and searches not reranked, because their project has used its tokens "
    "for the day.",
    registry=REGISTRY,
)
LLM_AVAILABLE = Gauge("memsys_llm_available", "1 while the language model answers.", registry=REGISTRY)
INFERENCES_PENDING = Gauge("memsys_inference_pending", "Adds that wait for the language model.", registry=REGISTRY)
INFERENCES_PARKED = Gauge("memsys_inference_parked", "Adds that the language model cannot read.", registry=REGISTRY)
INFERENCES_LAG = Gauge("memsys_inference_lag_seconds", "Age of the oldest add that waits.", registry=REGISTRY)
BACKFILLED = Counter(
    "memsys_inference_backfilled_total", "Adds inferred after the language model was away.", registry=REGISTRY
)
EXPIRED = Counter("memsys_api_expired_total", "Memories buried because their time was up.", registry=REGISTRY)
CHANGE_STREAMS = Gauge("memsys_change_streams", "Change streams that are open.", registry=REGISTRY)
WEBHOOK_PENDING = Gauge("memsys_webhook_pending", "Webhook deliveries that wait.", registry=REGISTRY)
WEBHOOK_PARKED = Gauge("memsys_webhook_parked", "Webhook deliveries that gave up.", registry=REGISTRY)
WEBHOOK_LAG = Gauge(
    "memsys_webhook_lag_seconds", "Age of the oldest webhook delivery still to be made.", registry=REGISTRY
)
WEBHOOK_DELIVERIES = Counter(
    "memsys_webhook_deliveries_total",
    "Attempts to call a webhook, by what came of them: delivered, away, refused.",
    ["outcome"],
    registry=REGISTRY,
)
WEBHOOK_SECONDS = Histogram(
    "memsys_webhook_seconds", "Time of one call of a webhook.", buckets=_PATIENCE, registry=REGISTRY
)


def render() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
