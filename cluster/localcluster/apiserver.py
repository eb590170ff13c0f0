"""`cluster apiserver`: etcd and kube-apiserver on 127.0.0.1, for contract tests. Needs no root."""

import socket
from dataclasses import replace

from . import binaries, description, kubeconfig, pki, processes
from .control import AUDIT_POLICY, ControlPlane, apiserver, etcd
from .description import Description
from .kube import Kubectl
from .paths import ClusterPaths
from .prerequisites import CONTROL_PLANE, require
from .progress import step, wait_for
from .tools import API_TOOLS

#: Nothing makes default ServiceAccounts here, so pods would be refused for lack of them.
DISABLED_ADMISSION = ("ServiceAccount",)


def control_plane(paths: ClusterPaths, address: str, desc: Description) -> ControlPlane:
    """The control plane of a cluster with the ports of its description."""
    return ControlPlane(
        bin=binaries.bin_dir(),
        root=paths.root,
        pki=paths.pki,
        conf=paths.conf,
        audit_log=paths.audit_log,
        address=address,
        api_port=desc.api_port,
        etcd_port=desc.etcd_port,
        etcd_peer_port=desc.etcd_peer_port,
    )


def prepare(paths: ClusterPaths, plane: ControlPlane) -> None:
    """Certificates, audit policy and the administrator's kubeconfig."""
    pki.ensure(paths.pki, [plane.address])
    for folder in (paths.conf, paths.audit_log.parent):
        folder.mkdir(parents=True, exist_ok=True)
    plane.audit_policy.write_text(AUDIT_POLICY)
    kubeconfig.write(paths.kubeconfig, plane.server, paths.pki, "admin", paths.name)


def up(paths: ClusterPaths) -> None:
    """Starts or repairs the bare API server; returns at once when it is ready."""
    require(CONTROL_PLANE)
    binaries.ensure(API_TOOLS)
    desc = description.require_kind(paths, "apiserver")
    if desc is None:
        desc = Description("apiserver")
    alive = {name: processes.is_running(processes.load(paths.pids, name)) for name in ("etcd", "kube-apiserver")}
    if not all(alive.values()):
        # A port may have been taken by someone else since: both parts get fresh ones together.
        for name in alive:
            processes.stop(paths.pids, name)
        api, client, peer = _free_ports(3)
        desc = replace(desc, api_port=api, etcd_port=client, etcd_peer_port=peer)
        description.save(paths, desc)
    plane = control_plane(paths, "127.0.0.1", desc)
    prepare(paths, plane)
    kubectl = Kubectl(paths.kubeconfig)
    if all(alive.values()) and kubectl.not_ready() is None:
        return
    etcd_log, api_log = paths.logs / "etcd.log", paths.logs / "kube-apiserver.log"
    with step(f"start kube-apiserver {paths.name} at {plane.server}"):
        processes.ensure("etcd", etcd(plane), pids=paths.pids, log=etcd_log)
        command = apiserver(plane, "127.0.0.1", DISABLED_ADMISSION)
        processes.ensure("kube-apiserver", command, pids=paths.pids, log=api_log, reads=[plane.audit_policy])
        wait_for("kube-apiserver to be ready", kubectl.not_ready, 60, (api_log, etcd_log))


def down(paths: ClusterPaths) -> None:
    """Kills both processes: neither needs to end well, their data go next."""
    for name in ("kube-apiserver", "etcd"):
        processes.stop(paths.pids, name, seconds=0.0)


def _free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
