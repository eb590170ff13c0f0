"""`cluster up`: brings a whole node up, or repairs what a crash or an interrupt left of it."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from . import (
    addons,
    binaries,
    cgroups,
    description,
    images,
    kubeconfig,
    mounts,
    netns,
    nodeconf,
    processes,
    relay,
    slots,
)
from .apiserver import control_plane, prepare
from .commands import succeeds
from .control import ControlPlane, apiserver, controller_manager, etcd, scheduler
from .description import Description
from .kube import Kubectl
from .nodeconf import Node
from .paths import ClusterPaths
from .pki import NODE_NAME
from .prerequisites import NODE, require, require_root
from .progress import step, wait_for
from .slots import Slot
from .tools import NODE_TOOLS

API_PORT, ETCD_PORT, ETCD_PEER_PORT = 6443, 2379, 2380
#: Of the namespace: its own 127.0.0.1, the end of the veth pair, and the pods' side.
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104
#: The order of stopping; starting goes the other way round.
STOP_ORDER = (
    "kube-proxy",
    "kubelet",
    "containerd",
    "kube-scheduler",
    "kube-controller-manager",
    "kube-apiserver",
    "etcd",
)


def up(paths: ClusterPaths) -> None:
    """Makes node, CoreDNS and local-path-provisioner ready. Safe to interrupt and to repeat at any point."""
    require_root("a local node")
    require(NODE)
    binaries.ensure(NODE_TOOLS)
    node, plane = _describe(paths)
    kubectl = Kubectl(paths.kubeconfig)
    recipe = _recipe()
    unchanged = _made_by(paths).exists() and _made_by(paths).read_text() == recipe
    if unchanged and _all_running(paths) and netns.usable(paths) and _not_healthy(kubectl) is None:
        relay.ensure(paths)
        return
    with step(f"network namespace {paths.identity} and certificates"):
        if not netns.usable(paths):
            # Whatever still runs does so in a namespace that nobody can reach any more.
            _stop_everything(paths)
        netns.ensure(paths, node.slot)
        leaf = cgroups.ensure(paths.identity)
        prepare(paths, plane)
        _configure(node, plane)
    _start_control_plane(node, plane, leaf, kubectl)
    _start_node(node, leaf, kubectl)
    with step("CoreDNS and local-path-provisioner"):
        kubectl("apply", "-f", "-", stdin=addons.manifests(node.slot.host_address, node.volumes))
        logs = (paths.logs / "kubelet.log",)
        wait_for("the addons to be available", lambda: _unavailable_addons(kubectl), 120, logs, interval=0.3)
    _made_by(paths).write_text(recipe)
    relay.ensure(paths)


def down(paths: ClusterPaths) -> None:
    """Stops every process and removes mounts, namespace, cgroups and links. State is the caller's to remove."""
    require_root("removing a local node")
    desc = description.load(paths)
    relay.stop(paths)
    _stop_everything(paths)
    netns.remove(paths, Slot(desc.slot) if desc and desc.slot >= 0 else None)
    slots.release(paths.root)
    _remove_strays(paths)
    shutil.rmtree(paths.run, ignore_errors=True)


def _recipe() -> str:
    """Changes with the binaries and with this code: then even a healthy cluster is gone over again."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    for tool in NODE_TOOLS:
        for name in tool.packages:
            digest.update(str(binaries.binary(name).resolve()).encode())
    return digest.hexdigest()


def _made_by(paths: ClusterPaths) -> Path:
    return paths.root / "made-by"


def _describe(paths: ClusterPaths) -> tuple[Node, ControlPlane]:
    desc = description.require_kind(paths, "node")
    held = None if desc is None else desc.slot
    slot = slots.claim(paths.identity, paths.root, held, netns.host_routes() if held is None else ())
    desc = Description("node", slot.number, API_PORT, ETCD_PORT, ETCD_PEER_PORT)
    description.save(paths, desc)
    node = Node(paths, slot, binaries.bin_dir())
    return node, control_plane(paths, slot.node_address, desc)


def _configure(node: Node, plane: ControlPlane) -> None:
    paths = node.paths
    for path, content in nodeconf.files(node).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    for folder in (paths.run, node.volumes):
        folder.mkdir(parents=True, exist_ok=True)
    # Pods run as other users and reach their volumes through these folders.
    for folder in (paths.root, node.volumes):
        folder.chmod(0o711)
    for user in ("controller-manager", "scheduler", "kubelet", "kube-proxy"):
        kubeconfig.write(paths.conf / f"{user}.kubeconfig", plane.server, paths.pki, user, paths.name)


def _start(paths: ClusterPaths, leaf: Path, name: str, command: list[str], reads: Sequence[Path] = ()) -> Path:
    """Starts one part inside the namespace unless it runs; returns its log."""
    log = paths.logs / f"{name}.log"
    processes.ensure(name, command, pids=paths.pids, log=log, reads=reads, netns=paths.netns, cgroup=leaf)
    return log


def _start_control_plane(node: Node, plane: ControlPlane, leaf: Path, kubectl: Kubectl) -> None:
    paths = node.paths
    with step("etcd, kube-apiserver, kube-controller-manager, kube-scheduler, containerd"):
        logs = (
            _start(paths, leaf, "etcd", etcd(plane)),
            _start(paths, leaf, "kube-apiserver", apiserver(plane, EVERY_ADDRESS), [plane.audit_policy]),
        )
        _start(paths, leaf, "containerd", nodeconf.containerd(node), [node.containerd_config])
        wait_for("kube-apiserver to be ready", kubectl.not_ready, 90, logs)
        conf = paths.conf
        _start(
            paths, leaf, "kube-controller-manager", controller_manager(plane), [conf / "controller-manager.kubeconfig"]
        )
        _start(paths, leaf, "kube-scheduler", scheduler(plane), [conf / "scheduler.kubeconfig"])


def _start_node(node: Node, leaf: Path, kubectl: Kubectl) -> None:
    paths = node.paths
    with step("kubelet and kube-proxy: node Ready"):
        containerd_log = paths.logs / "containerd.log"
        wait_for("containerd to answer", lambda: _containerd_silent(paths), 30, (containerd_log,))
        images.load(paths, images.ensure_node_layout(), images.NODE_IMAGES)
        kubelet_log = _start(
            paths, leaf, "kubelet", nodeconf.kubelet(node), [node.kubelet_config, paths.conf / "kubelet.kubeconfig"]
        )
        _start(paths, leaf, "kube-proxy", nodeconf.kube_proxy(node), [node.proxy_config])
        wait_for("the node to be Ready", lambda: _node_not_ready(kubectl), 90, (kubelet_log, containerd_log))


def _containerd_silent(paths: ClusterPaths) -> str | None:
    answers = succeeds(["ctr", f"--address={paths.containerd_socket}", "--connect-timeout=2s", "version"])
    return None if answers else f"no answer at {paths.containerd_socket}"


def _node_not_ready(kubectl: Kubectl) -> str | None:
    path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].message}'
    # The condition outlives its kubelet by 40 s, so ask the kubelet itself as well.
    silent = kubectl.problem("get", f"--raw=/api/v1/nodes/{NODE_NAME}/proxy/healthz", "--request-timeout=5s")
    if silent:
        return f"node {NODE_NAME}: {silent}"
    answer = kubectl.value("get", "node", NODE_NAME, "-o", path)
    return None if answer.startswith("True") else f"node {NODE_NAME}: {answer or 'not registered'}"


def _unavailable_addons(kubectl: Kubectl) -> str | None:
    """Deployments that are not available with the generation last applied, or None."""
    path = (
        "jsonpath={.metadata.generation}/{.status.observedGeneration} {.status.unavailableReplicas} "
        '{.status.conditions[?(@.type=="Available")].status}'
    )
    for namespace, name in addons.DEPLOYMENTS:
        generations, _, rest = kubectl.value("-n", namespace, "get", "deployment", name, "-o", path).partition(" ")
        wanted, _, observed = generations.partition("/")
        if not wanted or wanted != observed or rest.strip() != "True":
            return f"deployment {namespace}/{name} is not available"
    return None


def _not_healthy(kubectl: Kubectl) -> str | None:
    return kubectl.not_ready() or _node_not_ready(kubectl) or _unavailable_addons(kubectl)


def _all_running(paths: ClusterPaths) -> bool:
    return all(processes.is_running(processes.load(paths.pids, name)) for name in STOP_ORDER)


def _stop_everything(paths: ClusterPaths) -> None:
    for name in STOP_ORDER:
        processes.stop(paths.pids, name, seconds=0.0)
    cgroups.kill_all(paths.identity)
    mounts.unmount_under(paths.root)
    mounts.unmount_under(paths.run)
    cgroups.remove(paths.identity)


def _remove_strays(paths: ClusterPaths) -> None:
    """What kubelet, the CNI library and containerd's shims keep at fixed places, as far as it is this cluster's."""
    for address in paths.run.glob("containerd/io.containerd.runtime.v2.task/*/*/address"):
        Path(address.read_text().removeprefix("unix://")).unlink(missing_ok=True)
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and str(link.readlink()).startswith(str(paths.root)):
            link.unlink()
    # Each pod has a note of this cluster's network and one of its loopback: NETWORK-SANDBOX-INTERFACE.
    for note in Path("/var/lib/cni/results").glob(f"{paths.identity}-*"):
        sandbox = note.name.removeprefix(f"{paths.identity}-").rpartition("-")[0]
        note.with_name(f"cni-loopback-{sandbox}-lo").unlink(missing_ok=True)
        note.unlink()
