"""Configuration files and command lines of the node's own parts. Pure."""

import json
from dataclasses import dataclass
from pathlib import Path

from .control import POD_NETWORK
from .paths import ClusterPaths
from .pki import CLUSTER_DOMAIN, DNS_CLUSTER_IP, NODE_NAME
from .slots import Slot

IMAGE_PREFIX = "localhost/memsys"
PAUSE_IMAGE = f"{IMAGE_PREFIX}/pause:v1"
CNI_BIN_DIR = "/usr/lib/cni"
NODE_POD_NETWORK = "10.244.0.0/24"


@dataclass(frozen=True)
class Node:
    """One node: its folders, its network slot and the folder of its binaries."""

    paths: ClusterPaths
    slot: Slot
    bin: Path

    @property
    def containerd_config(self) -> Path:
        return self.paths.conf / "containerd.toml"

    @property
    def cni_conf_dir(self) -> Path:
        return self.paths.conf / "cni"

    @property
    def kubelet_config(self) -> Path:
        return self.paths.conf / "kubelet.yaml"

    @property
    def proxy_config(self) -> Path:
        return self.paths.conf / "kube-proxy.yaml"

    @property
    def resolv_conf(self) -> Path:
        return self.paths.conf / "resolv.conf"

    @property
    def volumes(self) -> Path:
        """Where local-path-provisioner keeps the persistent volumes."""
        return self.paths.root / "volumes"


def files(node: Node) -> dict[Path, str]:
    """All configuration files of the node, path -> content."""
    return {
        node.containerd_config: containerd_config(node),
        node.cni_conf_dir / "10-memsys.conflist": cni_config(node),
        node.kubelet_config: kubelet_config(node),
        node.proxy_config: proxy_config(node),
        # No name server of the host can be reached from here; pods get the cluster's own.
        node.resolv_conf: "# intentionally without name servers\n",
    }


def containerd_config(node: Node) -> str:
    """containerd's TOML.

    `restrict_oom_score_adj`: without CAP_SYS_RESOURCE (containers, micro-VMs) no sandbox could start otherwise.
    """
    root = node.paths.root / "containerd"
    return f"""\
version = 2
root = {json.dumps(str(root))}
state = {json.dumps(str(node.paths.run / "containerd"))}
[grpc]
  address = {json.dumps(str(node.paths.containerd_socket))}
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  sandbox_image = "{PAUSE_IMAGE}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_BIN_DIR}"
    conf_dir = {json.dumps(str(node.cni_conf_dir))}
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = {json.dumps(str(node.paths.run / "runc"))}
[plugins."io.containerd.internal.v1.opt"]
  path = {json.dumps(str(root / "opt"))}
"""


def cni_config(node: Node) -> str:
    """Point-to-point links and routes instead of a bridge.

    On a bridge, an answer from one local pod to another would bypass the address translation of
    services unless the machine has br_netfilter loaded.
    """
    ipam = {
        "type": "host-local",
        "dataDir": str(node.paths.run / "pod-addresses"),
        "ranges": [[{"subnet": NODE_POD_NETWORK}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [{"type": "ptp", "ipMasq": True, "ipam": ipam}]
    return json.dumps({"cniVersion": "0.4.0", "name": node.paths.identity, "plugins": plugins}, indent=2) + "\n"


def kubelet_config(node: Node) -> str:
    """KubeletConfiguration (JSON, which is YAML too)."""
    pki = node.paths.pki
    document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet-server.key"),
        "containerRuntimeEndpoint": f"unix://{node.paths.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.paths.identity}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDomain": CLUSTER_DOMAIN,
        "clusterDNS": [DNS_CLUSTER_IP],
        "resolvConf": str(node.resolv_conf),
        "podLogsDir": str(node.paths.root / "pod-logs"),
        "volumePluginDir": str(node.paths.root / "volume-plugins"),
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,
        # No registry may be reachable to bring back an image that was collected as garbage.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    }
    return json.dumps(document, indent=2) + "\n"


def proxy_config(node: Node) -> str:
    """KubeProxyConfiguration: nftables mode; zeros leave the machine's connection tracking as it is."""
    document = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(node.paths.conf / "kube-proxy.kubeconfig")},
        "clusterCIDR": POD_NETWORK,
        "hostnameOverride": NODE_NAME,
        "oomScoreAdj": 0,
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
    return json.dumps(document, indent=2) + "\n"


def containerd(node: Node) -> list[str]:
    return ["/usr/bin/containerd", "--config", str(node.containerd_config)]


def kubelet(node: Node) -> list[str]:
    return [
        str(node.bin / "kubelet"),
        f"--config={node.kubelet_config}",
        f"--kubeconfig={node.paths.conf / 'kubelet.kubeconfig'}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={node.slot.node_address}",
        f"--root-dir={node.paths.root / 'kubelet'}",
        f"--cert-dir={node.paths.root / 'kubelet' / 'pki'}",
    ]


def kube_proxy(node: Node) -> list[str]:
    return [str(node.bin / "kube-proxy"), f"--config={node.proxy_config}"]
