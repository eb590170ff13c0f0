"""What is compiled from Go modules, and the key that says when to compile it again. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

KUBERNETES_VERSION = "v1.34.4"
ETCD_VERSION = "v3.6.7"
HELM_VERSION = "v3.22.0"
COREDNS_VERSION = "v1.12.4"
LOCAL_PATH_VERSION = "v0.0.30"
KIND_VERSION = "v0.33.0"
WEAVIATE_VERSION = "v1.35.2"
TRAEFIK_VERSION = "v3.6.12"


@dataclass(frozen=True)
class Tool:
    """Binaries compiled together from one folder of `cluster/modules`.

    `packages` maps a binary's name to its Go package; `stamps` are link-time variables (`-X`).
    """

    name: str
    module: str
    version: str
    packages: Mapping[str, str]
    stamps: Mapping[str, str] = field(default_factory=dict)

    @property
    def ldflags(self) -> str:
        return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in sorted(self.stamps.items()))])


def _kubernetes(name: str, *commands: str) -> Tool:
    major, minor = KUBERNETES_VERSION.removeprefix("v").split(".")[:2]
    stamp = "k8s.io/component-base/version."
    return Tool(
        name,
        "kubernetes",
        KUBERNETES_VERSION,
        {command: f"k8s.io/kubernetes/cmd/{command}" for command in commands},
        {f"{stamp}gitVersion": KUBERNETES_VERSION, f"{stamp}gitMajor": major, f"{stamp}gitMinor": minor},
    )


ETCD = Tool("etcd", "etcd", ETCD_VERSION, {"etcd": "go.etcd.io/etcd/server/v3"})
KUBE_APISERVER = _kubernetes("kube-apiserver", "kube-apiserver")
KUBECTL = _kubernetes("kubectl", "kubectl")
KUBE_NODE = _kubernetes("kubernetes-node", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
HELM = Tool(
    "helm",
    "helm",
    HELM_VERSION,
    {"helm": "helm.sh/helm/v3/cmd/helm"},
    {"helm.sh/helm/v3/internal/version.version": HELM_VERSION},
)
COREDNS = Tool("coredns", "coredns", COREDNS_VERSION, {"coredns": "memsys.dev/cluster/coredns"})
LOCAL_PATH = Tool(
    "local-path-provisioner",
    "local-path-provisioner",
    LOCAL_PATH_VERSION,
    {"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
    {"main.VERSION": LOCAL_PATH_VERSION},
)
HELPERS = Tool(
    "node-helpers",
    "node",
    "v1",
    {name: f"memsys.dev/cluster/node/{name}" for name in ("pause", "volume-helper")},
)
KIND = Tool("kind", "kind", KIND_VERSION, {"kind": "sigs.k8s.io/kind"})
WEAVIATE = Tool(
    "weaviate",
    "weaviate",
    WEAVIATE_VERSION,
    {"weaviate-server": "github.com/weaviate/weaviate/cmd/weaviate-server"},
)
TRAEFIK = Tool(
    "traefik",
    "traefik",
    TRAEFIK_VERSION,
    {"traefik": "github.com/traefik/traefik/v3/cmd/traefik"},
    {"github.com/traefik/traefik/v3/pkg/version.Version": TRAEFIK_VERSION},
)

#: Each in build order.
API_TOOLS = (ETCD, KUBE_APISERVER, KUBECTL)
CLIENT_TOOLS = (KUBECTL, HELM)
NODE_TOOLS = (*API_TOOLS, KUBE_NODE, HELM, HELPERS, COREDNS, LOCAL_PATH)
KIND_TOOLS = (*CLIENT_TOOLS, KIND)

#: Servers that the full test suite runs beside the product, by the name that `build` takes.
TEST_SERVERS = {"weaviate": (WEAVIATE,), "traefik": (TRAEFIK,)}


def tool_key(tool: Tool, sources: Mapping[str, bytes]) -> str:
    """12 hex digits that change whenever the binaries would.

    Args:
        sources: the files of the tool's module folder, relative path -> content.
    """
    digest = hashlib.sha256()
    spec = [tool.name, tool.version, dict(tool.packages), tool.ldflags]
    digest.update(json.dumps(spec, sort_keys=True).encode())
    for name in sorted(sources):
        digest.update(f"\0{name}\0{len(sources[name])}\0".encode())
        digest.update(sources[name])
    return digest.hexdigest()[:12]


def folder_name(tool: Tool, key: str) -> str:
    """The versioned folder of the binaries, e.g. `etcd-v3.6.7-1a2b3c4d5e6f`."""
    return f"{tool.name}-{tool.version}-{key}"
