import re
from dataclasses import replace

import pytest
from localcluster.binaries import _go_output_name
from localcluster.paths import MODULES_DIR
from localcluster.tools import ETCD, KIND, KUBE_NODE, NODE_TOOLS, WEAVIATE, Tool, folder_name, tool_key

FILES = {"go.mod": b"module x", "go.sum": b"sums"}


def test_the_key_is_stable_and_follows_everything_that_changes_a_binary() -> None:
    keys = {
        tool_key(ETCD, FILES),
        tool_key(ETCD, {**FILES, "go.sum": b"other"}),
        tool_key(ETCD, {**FILES, "main.go": b""}),
        tool_key(replace(ETCD, version="v0"), FILES),
        tool_key(replace(ETCD, stamps={"a.b": "c"}), FILES),
        tool_key(replace(ETCD, packages={"etcd": "elsewhere"}), FILES),
    }
    assert len(keys) == 6
    assert tool_key(ETCD, FILES) == tool_key(ETCD, dict(reversed(FILES.items())))


def test_content_cannot_move_between_files_without_changing_the_key() -> None:
    assert tool_key(ETCD, {"a": b"bc", "d": b""}) != tool_key(ETCD, {"a": b"b", "d": b"c"})


def test_the_folder_names_tool_version_and_key() -> None:
    assert folder_name(ETCD, "0123456789ab") == f"etcd-{ETCD.version}-0123456789ab"


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("go.etcd.io/etcd/server/v3", "server"),
        ("helm.sh/helm/v3/cmd/helm", "helm"),
        ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
        ("sigs.k8s.io/kind", "kind"),
    ],
)
def test_go_names_binaries_after_the_last_element_that_is_no_version(package: str, name: str) -> None:
    assert _go_output_name(package) == name


@pytest.mark.parametrize("tool", [*NODE_TOOLS, KIND, WEAVIATE], ids=lambda tool: tool.name)
def test_the_declared_version_is_the_one_that_the_module_locks(tool: Tool) -> None:
    module = MODULES_DIR / tool.module
    package = next(iter(tool.packages.values()))
    if tool.module == "node":
        return_value = (module / "go.mod").read_text()
        assert "require" not in return_value, "the node's helpers depend on the standard library alone"
        return
    required = dict(re.findall(r"^(?:require)?\s*(\S+) (v\S+)", (module / "go.mod").read_text(), re.MULTILINE))
    names = {"coredns": "github.com/coredns/coredns"}
    owner = names.get(tool.module) or next(name for name in required if package.startswith(name))
    assert required[owner] == tool.version
    assert f"{owner} {tool.version} h1:" in (module / "go.sum").read_text()


def test_kubernetes_binaries_say_their_version() -> None:
    assert f"-X k8s.io/component-base/version.gitVersion={KUBE_NODE.version}" in KUBE_NODE.ldflags
