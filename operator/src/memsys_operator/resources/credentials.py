"""The Secrets of a system. Pure.

Those that open a volume (and the admin key) outlive a system whose deletion policy is Retain; the rendered
connection settings of the API never do.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from urllib.parse import quote

from memsys_operator import names
from memsys_operator.credentials import Credentials
from memsys_operator.observed import Manifest
from memsys_operator.resources import pods
from memsys_operator.spec import System


def checksum(values: Mapping[str, str]) -> str:
    """A short digest of configuration, for the checksum annotation of a pod template."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def api_values(system: System, credentials: Credentials) -> dict[str, str]:
    """The secret settings of the API, by setting name in lower case."""
    host = f"{names.postgres_service(system.name)}:{system.spec.postgres.port}"

    def url(role: str, password: str) -> str:
        return f"postgresql://{role}:{quote(password, safe='')}@{host}/memsys"

    values = {
        "database_url": url("memsys_app", credentials.postgres["app-password"]),
        "database_owner_url": url("memsys_owner", credentials.postgres["owner-password"]),
        "memsys_admin_key": credentials.admin["key"],
    }
    if system.runs_neo4j:
        # While the password is lost the API keeps what it has: that may be the last copy.
        values["neo4j_password"] = (credentials.neo4j or {}).get("password", credentials.neo4j_before)
    return values


def secrets(system: System, credentials: Credentials) -> list[Manifest]:
    kept = system.retains
    made = [
        _secret(system, names.POSTGRES, names.POSTGRES, credentials.postgres, owned=not kept),
        _secret(system, "admin-key", names.API, credentials.admin, owned=not kept),
        _secret(system, names.API, names.API, api_values(system, credentials), owned=True),
    ]
    made[0]["metadata"]["annotations"] = {
        names.EMBEDDER_ANNOTATION: system.embedding.identity,
        names.PRECISION_ANNOTATION: system.embedding.precision,
    }
    if credentials.neo4j is not None:
        made.append(_secret(system, names.NEO4J, names.NEO4J, credentials.neo4j, owned=not kept))
    return made


def _secret(system: System, suffix: str, part: str, values: Mapping[str, str], *, owned: bool) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": pods.metadata(system, names.component(system.name, suffix), part, owned=owned),
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }
