"""Questions to a cluster through kubectl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import binaries
from .commands import run
from .errors import ClusterError


@dataclass(frozen=True)
class Kubectl:
    """kubectl with one kubeconfig."""

    kubeconfig: Path

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs kubectl; returns stdout, raises ClusterError with its words when it fails."""
        return run([*self._base(), *arguments], stdin=stdin)

    def problem(self, *arguments: str) -> str | None:
        """None when the command succeeds, else its last line of complaint."""
        done = subprocess.run([*self._base(), *arguments], capture_output=True, text=True)
        if done.returncode == 0:
            return None
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        return lines[-1] if lines else f"kubectl exited with {done.returncode}"

    def not_ready(self) -> str | None:
        """What keeps the API server from being ready, or None."""
        return self.problem("get", "--raw=/readyz", "--request-timeout=5s")

    def value(self, *arguments: str) -> str:
        """stdout of a query, or the empty string when it fails (for polling)."""
        try:
            return self(*arguments, "--request-timeout=5s").strip()
        except ClusterError:
            return ""

    def _base(self) -> list[str]:
        return [str(binaries.binary("kubectl")), f"--kubeconfig={self.kubeconfig}"]
