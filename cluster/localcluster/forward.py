"""`cluster expose` for clusters that are not ours to enter: `kubectl port-forward`, started again whenever it ends."""

from collections.abc import Mapping
from pathlib import Path

from . import binaries, processes, targets
from .paths import ClusterPaths
from .prerequisites import FORWARD, require
from .progress import step, wait_for
from .targets import Target

#: A forward ends with the pod behind it. The parent's death ends kubectl too, so none is left over.
SUPERVISOR = """
trap 'kill "$child" 2>/dev/null; exit 0' TERM INT
while :; do
    setpriv --pdeathsig TERM "$@" &
    child=$!
    wait "$child"
    sleep 1
done
"""


def expose(paths: ClusterPaths, fresh: Mapping[int, Target]) -> None:
    """Adds forwards; a local port given again is replaced.

    Raises:
        ClusterError: a local port is taken, or the service does not answer HTTP.
    """
    targets.add(paths, fresh)
    ensure(paths)
    targets.await_answers(fresh, tuple(_log(paths, local) for local in fresh))


def ensure(paths: ClusterPaths) -> None:
    """Makes the recorded forwards run."""
    wanted = targets.load(paths)
    if not wanted:
        return
    require(FORWARD)
    for local, target in wanted.items():
        processes.ensure(_name(local), _command(paths, local, target), pids=paths.pids, log=_log(paths, local))
    ports = ", ".join(f"127.0.0.1:{local}" for local in sorted(wanted))
    with step(f"forward {ports}"):
        logs = tuple(_log(paths, local) for local in wanted)
        wait_for("the forwards to listen", lambda: targets.silent(wanted), 60, logs, interval=0.3)


def stop(paths: ClusterPaths) -> None:
    """Ends all forwards."""
    for local in targets.load(paths):
        processes.stop(paths.pids, _name(local))


def _name(local: int) -> str:
    return f"forward-{local}"


def _log(paths: ClusterPaths, local: int) -> Path:
    return paths.logs / f"{_name(local)}.log"


def _command(paths: ClusterPaths, local: int, target: Target) -> list[str]:
    kubectl = [str(binaries.binary("kubectl")), f"--kubeconfig={paths.kubeconfig}", f"--namespace={target.namespace}"]
    forward = ["port-forward", "--address=127.0.0.1", f"service/{target.service}", f"{local}:{target.port}"]
    return ["/bin/sh", "-c", SUPERVISOR, "forward", *kubectl, *forward]
