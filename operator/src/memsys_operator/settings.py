"""Settings of the operator process, from its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from memsys_operator import __version__
from memsys_operator.spec import Images


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word)


@dataclass(frozen=True, slots=True)
class Settings:
    """Each field is the environment variable named beside it."""

    image_registry: str = "ghcr.io/memsys"  # MEMSYS_IMAGE_REGISTRY
    image_tag: str = __version__  # MEMSYS_IMAGE_TAG
    image_pull_policy: str = "IfNotPresent"  # MEMSYS_IMAGE_PULL_POLICY
    image_pull_secrets: tuple[str, ...] = ()  # MEMSYS_IMAGE_PULL_SECRETS, names separated by commas
    watch_namespaces: tuple[str, ...] = ()  # MEMSYS_WATCH_NAMESPACES, separated by commas; empty: all
    operator_namespace: str = "memsys-system"  # MEMSYS_OPERATOR_NAMESPACE
    resync_seconds: float = 60.0  # MEMSYS_RESYNC_SECONDS
    workers: int = 8  # MEMSYS_WORKERS: systems reconciled at the same time
    health_port: int = 8081  # MEMSYS_HEALTH_PORT
    log_level: str = "info"  # MEMSYS_LOG_LEVEL
    #: MEMSYS_API_URL_TEMPLATE: how the operator reaches a system's API
    api_url_template: str = "http://{service}.{namespace}.svc:{port}"

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Raises :class:`ValueError` naming the variable that holds no number where one is due."""
        default = cls()

        def number(name: str, fallback: float) -> float:
            text = env.get(name, "")
            try:
                value = float(text) if text else fallback
            except ValueError:
                raise ValueError(f"{name}={text!r}: expected a number") from None
            if value <= 0:
                raise ValueError(f"{name}={text!r}: expected a number above 0")
            return value

        return cls(
            image_registry=env.get("MEMSYS_IMAGE_REGISTRY", "").rstrip("/") or default.image_registry,
            image_tag=env.get("MEMSYS_IMAGE_TAG") or default.image_tag,
            image_pull_policy=env.get("MEMSYS_IMAGE_PULL_POLICY") or default.image_pull_policy,
            image_pull_secrets=_words(env.get("MEMSYS_IMAGE_PULL_SECRETS", "")),
            watch_namespaces=_words(env.get("MEMSYS_WATCH_NAMESPACES", "")),
            operator_namespace=env.get("MEMSYS_OPERATOR_NAMESPACE") or default.operator_namespace,
            resync_seconds=number("MEMSYS_RESYNC_SECONDS", default.resync_seconds),
            workers=int(number("MEMSYS_WORKERS", default.workers)),
            health_port=int(number("MEMSYS_HEALTH_PORT", default.health_port)),
            log_level=env.get("MEMSYS_LOG_LEVEL") or default.log_level,
            api_url_template=env.get("MEMSYS_API_URL_TEMPLATE") or default.api_url_template,
        )

    def image(self, images: Images, part: str) -> str:
        """Full reference of a part's image: the spec's own, else ``<registry>/memsys-<part>:<tag>``."""
        override: str | None = getattr(images, part)
        return override or f"{self.image_registry}/memsys-{part}:{self.image_tag}"

    def pull_policy(self, images: Images) -> str:
        return images.pull_policy or self.image_pull_policy

    def pull_secrets(self, images: Images) -> list[dict[str, str]]:
        names = [ref.name for ref in images.pull_secrets] or list(self.image_pull_secrets)
        return [{"name": name} for name in names]
