"""What one look at the cluster saw of one system. Plain values, no I/O."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Manifest = dict[str, Any]
#: Kind and name; the namespace is the system's.
Key = tuple[str, str]


def key_of(obj: Mapping[str, Any]) -> Key:
    return obj["kind"], obj["metadata"]["name"]


def secret_values(secret: Mapping[str, Any]) -> dict[str, str]:
    """The decoded data of a Secret; undecodable values are left out, as if they were absent.

    Without the line end that ``--from-file`` takes along: the shells of the images drop it, and no URL or header should
    have it.
    """
    values: dict[str, str] = {}
    for name, encoded in (secret.get("data") or {}).items():
        try:
            values[name] = base64.b64decode(encoded, validate=True).decode().rstrip("\r\n")
        except ValueError:
            continue
    return values


@dataclass(frozen=True, slots=True)
class Observed:
    """The children of a system, its pods, and the Secrets its spec refers to.

    ``references`` holds None for a Secret that was looked for and does not exist. ``expandable`` names the
    StorageClasses that were looked up and let their volumes grow. ``http_routes`` says whether the cluster serves the
    Gateway API; ``gateway`` is the Gateway that the spec names, when it exists; ``ingress_class`` says whether the
    IngressClass does that the spec names, None when that is not known.
    """

    objects: Mapping[Key, Manifest] = field(default_factory=dict)
    pods: tuple[Manifest, ...] = ()
    references: Mapping[str, Manifest | None] = field(default_factory=dict)
    expandable: frozenset[str] = frozenset()
    http_routes: bool = False
    gateway: Manifest | None = None
    ingress_class: bool | None = None

    def get(self, kind: str, name: str) -> Manifest | None:
        return self.objects.get((kind, name))

    def pods_of(self, label: str, part: str) -> list[Manifest]:
        return [pod for pod in self.pods if pod["metadata"].get("labels", {}).get(label) == part]
