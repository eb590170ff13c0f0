"""Running other programs: quietly, with their output shown when they fail."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import ClusterError
from .progress import tail


def run(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, stdin: str | None = None) -> str:
    """Runs a program and returns its stdout.

    Raises:
        ClusterError: it could not be started or exited with an error; carries its own words.
    """
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=_environment(env))
    except FileNotFoundError:
        raise ClusterError(f"{command[0]} is not installed") from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or "no output")[-2000:]
        raise ClusterError(f"{' '.join(command[:6])} exited with {done.returncode}: {words}")
    return done.stdout


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Whether a program exists and exits with 0; its output is dropped."""
    try:
        return subprocess.run([str(part) for part in argv], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def run_logged(
    argv: Sequence[str | Path], log: Path, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Runs a long program with its output in a file.

    Raises:
        ClusterError: it failed; carries the last lines of the file.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(part) for part in argv]
    with log.open("w") as out:
        try:
            done = subprocess.run(command, cwd=cwd, env=_environment(env), stdout=out, stderr=subprocess.STDOUT)
        except FileNotFoundError:
            raise ClusterError(f"{command[0]} is not installed") from None
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command[:3])} exited with {done.returncode}\n{tail(log)}")


def _environment(extra: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if extra is None else {**os.environ, **extra}
