"""Progress on stderr: what is being done, for how long, and what was waited for when it failed."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ClusterError

HEARTBEAT_SECONDS = 15.0
TAIL_LINES = 15


def say(message: str) -> None:
    """One line on stderr; stdout is kept for results."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announces a step, repeats itself while it lasts, and reports the time it took."""
    started = time.monotonic()
    finished = threading.Event()
    say(f"  … {title}")

    def beat() -> None:
        while not finished.wait(HEARTBEAT_SECONDS):
            say(f"  … {title} ({time.monotonic() - started:.0f} s so far)")

    beater = threading.Thread(target=beat, daemon=True)
    beater.start()
    try:
        yield
    except BaseException as error:
        outcome = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        say(f"  ✗ {title} {outcome} after {time.monotonic() - started:.1f} s")
        raise
    else:
        say(f"  ✓ {title} ({time.monotonic() - started:.1f} s)")
    finally:
        finished.set()
        beater.join()


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log file, indented; a note when there is none."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return f"    (no log at {log})"
    last = text.splitlines()[-lines:]
    body = "\n".join(f"    | {line}" for line in last) or "    | (empty)"
    return f"    last lines of {log}:\n{body}"


def wait_for(
    what: str,
    missing: Callable[[], str | None],
    seconds: float,
    logs: tuple[Path, ...] = (),
    interval: float = 0.1,
) -> None:
    """Polls until `missing()` returns None.

    Args:
        what: the condition, for the error message.
        missing: returns what is still missing, or None when nothing is.
        seconds: the deadline.
        logs: files whose last lines explain a failure.

    Raises:
        ClusterError: the deadline passed; names the condition and what was missing.
    """
    deadline = time.monotonic() + seconds
    while True:
        lacking = missing()
        if lacking is None:
            return
        if time.monotonic() >= deadline:
            details = "\n".join([f"waited {seconds:.0f} s for {what}: {lacking}", *map(tail, logs)])
            raise ClusterError(details)
        time.sleep(interval)
