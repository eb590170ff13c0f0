"""Audits the lock files; see the README beside this."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.audit.locks import LOCKS, disagreements, read

CLEAN, FOUND, UNKNOWN = 0, 1, 3
_SECONDS = 300


def main() -> int:
    root = Path(__file__).parents[2]
    locks = {name: read((root / name).read_text()) for name in LOCKS}
    wrong = [f"{name}: {problem}" for name, lock in locks.items() for problem in lock.problems]
    wrong += disagreements({name: lock.versions for name, lock in locks.items()})
    for line in wrong:
        print(f"lock file  {line}")
    count = len({package for lock in locks.values() for package in lock.versions})
    print(f"lock files: {len(LOCKS)} with {count} packages, each pinned by hash{' but for the above' if wrong else ''}")
    outcomes = [_vulnerabilities(root, name) for name in LOCKS]
    return FOUND if wrong or FOUND in outcomes else max(outcomes)


def _vulnerabilities(root: Path, name: str) -> int:
    """What pip-audit knows of one lock file's packages."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--requirement", name]
    command += ["--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=_SECONDS)
        packages = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        reason = "no answer in time" if isinstance(error, subprocess.TimeoutExpired) else _last_line(done.stderr)
        print(f"NOT AUDITED  {name}: the list of vulnerabilities cannot be reached: {reason}")
        return UNKNOWN
    found = [(package, v) for package in packages for v in package.get("vulns", ())]
    for package, vulnerability in found:
        fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
        print(f"VULNERABLE   {name}: {package['name']} {package['version']}: {vulnerability['id']}, fixed in {fixed}")
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if skipped:
        print(f"NOT AUDITED  {name}: of {len(skipped)} of {len(packages)} packages nothing could be learnt")
    if found:
        return FOUND
    if skipped:
        return UNKNOWN
    print(f"audited      {name}: {len(packages)} packages, no known vulnerability")
    return CLEAN


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1][:200]


if __name__ == "__main__":
    sys.exit(main())
