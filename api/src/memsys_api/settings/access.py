"""Who is let in, and how far they may go."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from memsys_api.model import Quarantine


class AccessSettings(BaseSettings):
    """What a project's policy falls back to, limits, and tokens of Kubernetes."""

    quarantine: Quarantine = Field(
        "flag",
        validation_alias="MEMSYS_QUARANTINE",
        description="What becomes of a write that looks like a secret or a planted instruction, where the project's "
        "policy does not say: off, flag (stored and marked), hold (kept back for review), refuse.",
    )
    llm_tokens_per_day: int | None = Field(
        None,
        ge=0,
        validation_alias="MEMSYS_LLM_TOKENS_PER_DAY",
        description="Tokens of the language model that each project may use a day (UTC), where its policy does not "
        "say; past them adds are stored as they were said, and a language model reranks no searches. Unset: no limit.",
    )
    rate_limit_per_minute: int | None = Field(
        None,
        ge=1,
        validation_alias="MEMSYS_RATE_LIMIT_PER_MINUTE",
        description="Requests a minute that each key may make on all replicas together, where neither the key nor the "
        "project's policy says. Unset: no limit. The admin key has none.",
    )
    refusals_per_minute: int = Field(
        300,
        ge=1,
        validation_alias="MEMSYS_REFUSALS_PER_MINUTE",
        description="Wrong keys a minute that one address may try on one replica before it is answered 429 unseen.",
    )
    request_timeout_seconds: float = Field(
        120,
        gt=0,
        le=3600,
        validation_alias="MEMSYS_REQUEST_TIMEOUT_SECONDS",
        description="Longest time until an answer begins, of an import between two batches; then 503. Longer than "
        "LLM_TIMEOUT_SECONDS.",
    )
    send_timeout_seconds: float = Field(
        60,
        gt=0,
        le=3600,
        validation_alias="MEMSYS_SEND_TIMEOUT_SECONDS",
        description="Longest time that a reader may take for a piece of a streamed answer (an export, changes); then "
        "the connection is broken off.",
    )
    service_accounts: Literal["off", "on"] = Field(
        "off",
        validation_alias="MEMSYS_TOKEN_REVIEW",
        description="Whether tokens of Kubernetes ServiceAccounts are accepted, reviewed by the cluster's apiserver.",
    )
    token_audience: str = Field(
        "memsys.dev",
        min_length=1,
        validation_alias="MEMSYS_TOKEN_AUDIENCE",
        description="The audience that a ServiceAccount's token must be made for.",
    )
    kubernetes_host: str | None = Field(
        None, validation_alias="KUBERNETES_SERVICE_HOST", description="The apiserver; set by Kubernetes in every pod."
    )
    kubernetes_port: int = Field(
        443, validation_alias="KUBERNETES_SERVICE_PORT", description="The apiserver's port; set by Kubernetes."
    )
    kubernetes_dir: Path = Field(
        Path("/var/run/secrets/kubernetes.io/serviceaccount"),
        validation_alias="MEMSYS_KUBERNETES_DIR",
        description="Folder of the pod's own ServiceAccount: token, with which the apiserver is asked, and ca.crt.",
    )
