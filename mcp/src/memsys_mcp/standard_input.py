"""Standard input for the transport on stdio, which answers nothing to a line that it cannot read.

Clients written in JavaScript send half an emoji, where a text was cut in its middle, as a lone escape (``\\ud83d``).
The transport's parser takes that for no JSON, and who called waits for ever.
"""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import suppress
from typing import BinaryIO

_ESCAPES = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<lone>u[dD][89a-fA-F]..)|.)", re.DOTALL)


def mended(line: bytes) -> bytes:
    """A line of JSON with U+FFFD for every escape that is half of a pair."""
    if b"\\ud" not in line and b"\\uD" not in line:
        return line
    return _ESCAPES.sub(lambda escape: rb"\ufffd" if escape["lone"] else escape[0], line)


def mend() -> None:
    """Have ``sys.stdin`` read mended lines; child processes find an empty standard input, not the protocol's."""
    private = os.dup(sys.stdin.fileno())
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, sys.stdin.fileno())
    os.close(empty)
    # Never closed: a thread may still wait for the next line when the process ends.
    lines = os.fdopen(private, "rb", closefd=False)
    sys.stdin = _Unowned(io.BufferedReader(_Mended(lines)), encoding="utf-8", errors="replace")


class _Mended(io.RawIOBase):
    """The mended lines of another stream. It has no file descriptor, by which it would be passed over."""

    def __init__(self, lines: BinaryIO) -> None:
        super().__init__()
        self._lines = lines
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what BufferedReader hands over
        if not self._left:
            self._left = memoryview(mended(self._lines.readline()))
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


class _Unowned(io.TextIOWrapper):
    """Leaves what it wraps open, which the transport goes on reading."""

    def close(self) -> None:
        with suppress(ValueError):  # detached already
            self.detach()
