"""What tenants write is never a way into another namespace."""

from __future__ import annotations

from pathlib import Path

import pytest
from kubernetes.aio import client, config

from memsys_operator.cluster import Cluster
from memsys_operator.errors import Rejected
from memsys_operator.spec import Ref

from .support import Kubectl


@pytest.fixture
def foreign(admin: Kubectl, namespace: Kubectl) -> str:
    """The way from a namespace's Secrets to one of another namespace."""
    other = admin.make_namespace(f"{namespace.namespace}-other")
    other.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "payroll"}, "stringData": {"pin": "4711"}})
    return f"../../{other.namespace}/secrets/payroll"


async def test_a_name_that_is_a_path_reads_nothing(namespace: Kubectl, foreign: str, operator_kubeconfig: Path) -> None:
    configuration = client.Configuration()
    await config.load_kube_config(str(operator_kubeconfig), client_configuration=configuration)
    ref = Ref(namespace.namespace, "m")
    async with client.ApiClient(configuration) as api:
        cluster = Cluster(api)
        root = "../../../../.."
        way = f"{root}/api/v1/namespaces/{namespace.namespace}/{foreign.removeprefix('../../')}"
        for ask in (
            lambda: cluster.observe(ref, [foreign]),
            lambda: cluster.secret(ref.namespace, foreign),
            lambda: cluster.gateway(ref.namespace, way),
            lambda: cluster.gateway("..", "payroll"),
            lambda: cluster.expandable([f"{root}/{way}"]),
        ):
            with pytest.raises(Rejected, match="cannot be the name"):
                await ask()
