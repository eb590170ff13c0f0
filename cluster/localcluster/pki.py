"""Keys and certificates of one cluster, made by openssl: P-256, which is made in milliseconds."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .commands import run

VALID_DAYS = "3650"
SERVICE_NETWORK = "10.96.0.0/16"
APISERVER_CLUSTER_IP = "10.96.0.1"
DNS_CLUSTER_IP = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
NODE_NAME = "memsys-node"


@dataclass(frozen=True)
class Certificate:
    """A certificate to be signed: its file name, subject and, for servers, alternative names."""

    name: str
    subject: str
    alternative_names: tuple[str, ...] = ()


def certificates(addresses: Sequence[str]) -> list[Certificate]:
    """All certificates of a cluster whose API server and kubelet answer on `addresses`."""
    reachable = tuple(f"IP:{address}" for address in dict.fromkeys(["127.0.0.1", *addresses]))
    services = [f"kubernetes{suffix}" for suffix in ("", ".default", ".default.svc", f".default.svc.{CLUSTER_DOMAIN}")]
    api_names = (*reachable, f"IP:{APISERVER_CLUSTER_IP}", "DNS:localhost", *(f"DNS:{name}" for name in services))
    return [
        Certificate("apiserver", "/CN=kube-apiserver", api_names),
        Certificate("kubelet-server", f"/CN={NODE_NAME}", (*reachable, f"DNS:{NODE_NAME}")),
        Certificate("admin", "/O=system:masters/CN=memsys-admin"),
        Certificate("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
        Certificate("controller-manager", "/CN=system:kube-controller-manager"),
        Certificate("scheduler", "/CN=system:kube-scheduler"),
        Certificate("kubelet", f"/O=system:nodes/CN=system:node:{NODE_NAME}"),
        Certificate("kube-proxy", "/CN=system:kube-proxy"),
        Certificate("front-proxy", "/CN=front-proxy-client"),
    ]


def extensions(certificate: Certificate) -> str:
    """openssl's extension file for one leaf certificate."""
    lines = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature"]
    lines.append(f"extendedKeyUsage={'serverAuth' if certificate.alternative_names else 'clientAuth'}")
    if certificate.alternative_names:
        lines.append(f"subjectAltName={','.join(certificate.alternative_names)}")
    return "\n".join(lines) + "\n"


def ensure(folder: Path, addresses: Sequence[str]) -> None:
    """Makes `folder` with ca, service-account and all leaf keys, unless it is there.

    The folder appears whole or not at all. It is bound to the addresses for the cluster's life.
    """
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".pki-", dir=folder.parent))
    try:
        _make(scratch, addresses)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _make(folder: Path, addresses: Sequence[str]) -> None:
    new_key: list[str | Path] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
    authority: list[str | Path] = [
        "-keyout",
        folder / "ca.key",
        "-out",
        folder / "ca.crt",
        "-subj",
        "/CN=memsys-local-ca",
    ]
    run(["openssl", "req", "-x509", *new_key, *authority, "-days", VALID_DAYS, "-addext", usage])
    ca: list[str | Path] = ["-CA", folder / "ca.crt", "-CAkey", folder / "ca.key"]
    for certificate in certificates(addresses):
        stem = folder / certificate.name
        request = run(["openssl", "req", *new_key, "-keyout", f"{stem}.key", "-subj", certificate.subject])
        extension_file = Path(f"{stem}.ext")
        extension_file.write_text(extensions(certificate))
        signed: list[str | Path] = ["-extfile", extension_file, "-out", f"{stem}.crt"]
        run(["openssl", "x509", "-req", *ca, "-CAcreateserial", "-days", VALID_DAYS, *signed], stdin=request)
        extension_file.unlink()
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "sa.key"])
    run(["openssl", "ec", "-in", folder / "sa.key", "-pubout", "-out", folder / "sa.pub"])
