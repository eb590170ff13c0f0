"""Programs from npm as their users run them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.npm import installed as installed


def run(
    programs: Path,
    *command: str,
    directory: Path,
    home: Path,
    variables: Mapping[str, str] | None = None,
    seconds: float = 100,
) -> str:
    """Run one of the programs, or one of the machine's, in an environment of its own; give what it wrote.

    Fails where it does.
    """
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(home), **(variables or {})}
    environment |= {"DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout
