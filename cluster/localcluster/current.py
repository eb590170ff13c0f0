"""`CLUSTER=current`: the cluster that the user's own kubeconfig names.

Nothing is made in it, and nothing but the forwards to it is ever removed.
"""

import os

from . import binaries, description, forward
from .commands import run
from .description import Description
from .errors import ClusterError
from .kube import Kubectl
from .paths import ClusterPaths
from .tools import CLIENT_TOOLS


def up(paths: ClusterPaths) -> None:
    """Pins the current context of the user's kubeconfig and checks that its API server answers.

    Raises:
        ClusterError: there is no context, or the server does not answer.
    """
    binaries.ensure(CLIENT_TOOLS)
    text = run([binaries.binary("kubectl"), "config", "view", "--raw", "--minify", "--flatten", "--output=json"])
    description.require_kind(paths, "current")
    description.save(paths, Description("current"))
    with open(os.open(paths.kubeconfig, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        handle.write(text)
    problem = Kubectl(paths.kubeconfig).not_ready()
    if problem is not None:
        raise ClusterError(f"the cluster of the current kubeconfig is not ready: {problem}")
    forward.ensure(paths)


def down(paths: ClusterPaths) -> None:
    """Ends the forwards; the cluster is the user's."""
    forward.stop(paths)
