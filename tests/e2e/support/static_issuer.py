"""An authorization server as the MCP server sees one: two documents in a pod, and tokens that a test signs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

PORT = 8080


@dataclass(frozen=True)
class StaticIssuer:
    """Signs with one key, whose public half :meth:`manifests` publishes."""

    key: RSAKey
    namespace: str

    @classmethod
    def new(cls, namespace: str) -> StaticIssuer:
        head = {"kid": "key-1", "use": "sig", "alg": "RS256"}
        return cls(RSAKey.generate_key(2048, head, private=True), namespace)

    @property
    def url(self) -> str:
        return f"http://issuer.{self.namespace}.svc:{PORT}"

    def token(self, audience: str, scope: str) -> str:
        """An access token that is good for five minutes."""
        now = int(time.time())
        claims = {"iss": self.url, "sub": "ann", "aud": audience, "iat": now, "exp": now + 300, "scope": scope}
        return jwt.encode({"alg": "RS256", "kid": "key-1", "typ": "at+jwt"}, claims, self.key)

    def manifests(self, image: str) -> list[dict[str, Any]]:
        """A pod that serves metadata and key set with Python alone, which the image has, and its Service."""
        documents = {
            "metadata": {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"},
            "jwks": {"keys": [self.key.as_dict(private=False)]},
        }
        labels = {"app": "issuer"}
        items = [{"key": "metadata", "path": ".well-known/openid-configuration"}, {"key": "jwks", "path": "jwks"}]
        container = {
            "name": "issuer",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-m", "http.server", str(PORT), "--directory", "/srv"],
            "readinessProbe": {"httpGet": {"path": "/jwks", "port": PORT}, "periodSeconds": 1},
            "volumeMounts": [{"name": "documents", "mountPath": "/srv"}],
        }
        return [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "issuer"},
                "data": {name: json.dumps(document) for name, document in documents.items()},
            },
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "issuer", "labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [container],
                    "volumes": [{"name": "documents", "configMap": {"name": "issuer", "items": items}}],
                },
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "issuer"},
                "spec": {"selector": labels, "ports": [{"port": PORT}]},
            },
        ]
