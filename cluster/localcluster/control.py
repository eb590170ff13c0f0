"""Command lines of the control plane, for a whole node and for the bare API server. Pure."""

from dataclasses import dataclass
from pathlib import Path

from .pki import SERVICE_NETWORK

POD_NETWORK = "10.244.0.0/16"

AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
"""


@dataclass(frozen=True)
class ControlPlane:
    """Where a control plane keeps its files and on which ports it answers."""

    bin: Path
    root: Path
    pki: Path
    conf: Path
    audit_log: Path
    address: str
    api_port: int
    etcd_port: int
    etcd_peer_port: int

    @property
    def server(self) -> str:
        return f"https://{self.address}:{self.api_port}"

    @property
    def audit_policy(self) -> Path:
        return self.conf / "audit-policy.yaml"


def etcd(plane: ControlPlane) -> list[str]:
    """etcd on 127.0.0.1. It does not fsync: a local cluster may lose its state with the machine's power."""
    client = f"http://127.0.0.1:{plane.etcd_port}"
    peer = f"http://127.0.0.1:{plane.etcd_peer_port}"
    return [
        str(plane.bin / "etcd"),
        "--name=default",
        f"--data-dir={plane.root / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--logger=zap",
    ]


def apiserver(plane: ControlPlane, bind: str, disabled_admission: tuple[str, ...] = ()) -> list[str]:
    """kube-apiserver with RBAC, an audit log of every request, and API aggregation."""
    pki = plane.pki
    command = [
        str(plane.bin / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{plane.etcd_port}",
        f"--bind-address={bind}",
        f"--secure-port={plane.api_port}",
        f"--advertise-address={plane.address}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--kubelet-client-certificate={pki / 'apiserver-kubelet.crt'}",
        f"--kubelet-client-key={pki / 'apiserver-kubelet.key'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={pki / 'ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki / 'front-proxy.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy.key'}",
        f"--audit-policy-file={plane.audit_policy}",
        f"--audit-log-path={plane.audit_log}",
        "--audit-log-maxsize=200",
        "--audit-log-maxbackup=2",
        "--shutdown-delay-duration=0s",
    ]
    if disabled_admission:
        command.append(f"--disable-admission-plugins={','.join(disabled_admission)}")
    return command


def controller_manager(plane: ControlPlane) -> list[str]:
    """kube-controller-manager, which also signs certificates and hands out the pod network."""
    pki = plane.pki
    return [
        str(plane.bin / "kube-controller-manager"),
        f"--kubeconfig={plane.conf / 'controller-manager.kubeconfig'}",
        f"--service-account-private-key-file={pki / 'sa.key'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        "--use-service-account-credentials=true",
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={POD_NETWORK}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]


def scheduler(plane: ControlPlane) -> list[str]:
    """kube-scheduler."""
    return [
        str(plane.bin / "kube-scheduler"),
        f"--kubeconfig={plane.conf / 'scheduler.kubeconfig'}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]
