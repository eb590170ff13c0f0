"""Kubeconfig files with embedded certificates, readable by their owner alone."""

import base64
import json
import os
from pathlib import Path


def render(server: str, ca: bytes, certificate: bytes, key: bytes, name: str) -> str:
    """A kubeconfig (JSON, which is YAML too) with one cluster, one user and one context, all called `name`."""

    def encoded(content: bytes) -> str:
        return base64.b64encode(content).decode()

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": encoded(ca)}}],
        "users": [
            {"name": name, "user": {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}}
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return json.dumps(document, indent=2) + "\n"


def write(path: Path, server: str, pki: Path, user: str, name: str) -> None:
    """Writes the kubeconfig of the certificate `user`, mode 600, replacing the file at once."""
    text = render(
        server,
        (pki / "ca.crt").read_bytes(),
        (pki / f"{user}.crt").read_bytes(),
        (pki / f"{user}.key").read_bytes(),
        name,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        handle.write(text)
    fresh.replace(path)
