"""Waits for a MemorySystem to be Ready and shows every condition as it changes.

Needs kubectl on PATH and nothing else, so that it runs before any Python environment exists.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

POLL_SECONDS = 1.0


def conditions_of(namespace: str, name: str) -> tuple[dict[str, dict[str, Any]], int | None, int | None]:
    """Return the conditions by type, the generation asked for and the generation last observed."""
    answer = subprocess.run(
        ["kubectl", "--namespace", namespace, "get", "memsys", name, "--output", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        print(f"  kubectl: {answer.stderr.strip()}", file=sys.stderr)
        return {}, None, None
    document = json.loads(answer.stdout)
    status = document.get("status", {})
    found = {condition["type"]: condition for condition in status.get("conditions", [])}
    return found, document["metadata"]["generation"], status.get("observedGeneration")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS")
    options = parser.parse_args()

    started = time.monotonic()
    shown: dict[str, tuple[str, str, str]] = {}
    said: set[tuple[str, str, str, str]] = set()  # a pod that keeps restarting is told once, not at every turn
    print(f"waiting for MemorySystem {options.namespace}/{options.name} to be Ready")
    while True:
        elapsed = time.monotonic() - started
        conditions, generation, observed = conditions_of(options.namespace, options.name)
        for kind, condition in conditions.items():
            line = (condition["status"], condition.get("reason", ""), condition.get("message", ""))
            if shown.get(kind) != line:
                shown[kind] = line
            if (kind, *line) not in said:
                said.add((kind, *line))
                print(f"  {elapsed:5.0f} s  {kind:<14} {line[0]:<8} {line[1]:<22} {line[2]}", flush=True)
        ready = conditions.get("Ready", {})
        if ready.get("status") == "True" and observed == generation:
            print(f"  {elapsed:5.0f} s  Ready")
            return 0
        if elapsed > options.timeout:
            missing = [f"{k}: {v[1]} {v[2]}" for k, v in shown.items() if v[0] != "True"] or ["no status at all"]
            print(f"not Ready after {options.timeout:.0f} s: " + "; ".join(missing), file=sys.stderr)
            return 1
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
