"""Cuts what PostgreSQL's and Bolt's clients and servers say to each other into messages, and names those that count.

What counts is a message that has a server do something, and one that says what became of it. Between them there are
messages that only prepare or go on (parsed statements, parameters, rows): being lost before one of these is being lost
before the next that counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Direction = Literal[">", "<"]
"""To the server, and from it."""


@dataclass
class Message:
    """One message as it is to be forwarded; ``label`` names the step of the transaction."""

    raw: bytes
    label: str | None
    """``None``: the message does not count."""
    ends_commit: bool = False
    """The server says with it that a write is durable."""


class Dialect(Protocol):
    """One connection's state."""

    def read(self, direction: Direction, data: bytes) -> list[Message]:
        """Every message that ``data`` completes."""
        ...


def _short(statement: str) -> str:
    return re.sub(r"\s+", " ", statement).strip()[:70]


# Query, Execute, Sync, and Terminate; CommandComplete, ErrorResponse, ReadyForQuery, and what begins a session.
_POSTGRES_COUNTS = {">": frozenset("QESXp"), "<": frozenset("CEZR")}
_BOLT_COUNTS = {
    ">": frozenset({"HELLO", "LOGON", "BEGIN", "RUN", "PULL", "COMMIT", "ROLLBACK", "RESET"}),
    "<": frozenset({"SUCCESS", "FAILURE", "IGNORED"}),
}


@dataclass
class _Transaction:
    """What counts is numbered within the transaction, which is named by what is first done in it."""

    name: str = ""
    writes: bool = False
    numbers: dict[str, int] = field(default_factory=lambda: {">": 0, "<": 0})

    def label(self, direction: Direction, kind: str, counts: Mapping[str, frozenset[str]]) -> str | None:
        if kind not in counts[direction]:
            return None
        self.numbers[direction] += 1
        return f"{self.name or '(begins)'} {direction}{self.numbers[direction]} {kind}"


@dataclass
class Postgres:
    """Protocol 3, without encryption: a type byte, four bytes of length; the very first message has no type."""

    _rest: dict[str, bytes] = field(default_factory=lambda: {">": b"", "<": b""})
    _started: bool = False
    _over: bool = True
    _transaction: _Transaction = field(default_factory=_Transaction)

    def read(self, direction: Direction, data: bytes) -> list[Message]:
        pieces = self._cut(direction, data)
        ahead = [text for piece in pieces if (text := _sql(direction, piece)) is not None]
        messages = []
        for piece in pieces:
            if (text := _sql(direction, piece)) is not None:
                self._follow(text, ahead)
                ahead.pop(0)
            kind = chr(piece[0])
            durable = direction == "<" and piece[5:11] == b"COMMIT" and self._transaction.writes
            messages.append(Message(piece, self._transaction.label(direction, kind, _POSTGRES_COUNTS), durable))
        return messages

    def _follow(self, statement: str, ahead: list[str]) -> None:
        """Note what is done next; what begins a transaction comes in one piece with the statement that names it."""
        if self._over:
            naming = [one for one in ahead if not one.startswith("BEGIN") and "set_config" not in one]
            self._transaction = _Transaction("postgres " + _short(naming[0]) if naming else "")
            self._over = not statement.startswith("BEGIN")
        elif not self._transaction.name and "set_config" not in statement:
            self._transaction.name = "postgres " + _short(statement)
        self._transaction.writes |= "INSERT INTO deliveries" in statement
        self._over |= statement.startswith(("COMMIT", "ROLLBACK"))

    def _cut(self, direction: Direction, data: bytes) -> list[bytes]:
        data = self._rest[direction] + data
        pieces = []
        while True:
            typed = self._started or direction == "<"
            head = 5 if typed else 4
            if len(data) < head:
                break
            size = int.from_bytes(data[head - 4 : head]) + (1 if typed else 0)
            if len(data) < size:
                break
            pieces.append(data[:size])
            data = data[size:]
            if direction == ">":
                self._started = True
        self._rest[direction] = data
        return pieces


def _sql(direction: Direction, piece: bytes) -> str | None:
    """The statement of a Parse or Query message."""
    if direction != ">" or piece[:1] not in (b"P", b"Q"):
        return None
    texts = piece[5:].split(b"\0")
    return texts[1 if piece[:1] == b"P" else 0].decode()


_BOLT_NAMES = {
    0x01: "HELLO", 0x02: "GOODBYE", 0x0F: "RESET", 0x10: "RUN", 0x11: "BEGIN", 0x12: "COMMIT", 0x13: "ROLLBACK",
    0x2F: "DISCARD", 0x3F: "PULL", 0x66: "ROUTE", 0x6A: "LOGON", 0x70: "SUCCESS", 0x71: "RECORD", 0x7E: "IGNORED",
    0x7F: "FAILURE",
}  # fmt: skip
_HANDSHAKE = 20
_MANIFEST = bytes.fromhex("000001ff")


@dataclass
class Bolt:
    """Chunks of a length of two bytes; an empty one ends a message. Handshakes are forwarded as they come."""

    _rest: dict[str, bytes] = field(default_factory=lambda: {">": b"", "<": b""})
    _shaken: dict[str, int] = field(default_factory=lambda: {">": 0, "<": 0})
    _manifest: bool = False
    _open: bool = False
    _transaction: _Transaction = field(default_factory=_Transaction)

    def read(self, direction: Direction, data: bytes) -> list[Message]:
        data = self._rest[direction] + data
        messages, data = self._handshake(direction, data)
        pieces = []
        while self._is_shaken(direction) and (size := _bolt_size(data)) is not None:
            pieces.append(data[:size])
            data = data[size:]
        self._rest[direction] = data
        statements = [text for piece in pieces if direction == ">" and (text := _run(piece)) is not None]
        for piece in pieces:
            kind = _bolt_kind(piece)
            if direction == ">":
                text = _run(piece)
                if kind == "BEGIN" or (text is not None and not self._open):
                    self._transaction = _Transaction("neo4j " + _short(statements[0]) if statements else "")
                    self._open = kind == "BEGIN"
                elif text is not None and not self._transaction.name:
                    self._transaction.name = "neo4j " + _short(text)
                if kind in ("COMMIT", "ROLLBACK", "RESET"):
                    self._open = False
                if text is not None:
                    statements.pop(0)
            messages.append(Message(piece, self._transaction.label(direction, kind, _BOLT_COUNTS)))
        return messages

    def _handshake(self, direction: Direction, data: bytes) -> tuple[list[Message], bytes]:
        """Version 1 is 20 bytes against 4; with a manifest the server lists versions and the client chooses one."""
        stage = self._shaken[direction]
        if stage == 0:
            size = _HANDSHAKE if direction == ">" else 4
            if len(data) < size:
                return [], data
            self._shaken[direction] = 1
            self._manifest |= direction == "<" and data[:4] == _MANIFEST
            first, data = [Message(data[:size], "neo4j handshake")], data[size:]
            more, data = self._handshake(direction, data)
            return first + more, data
        if stage == 1 and self._manifest and data:
            size = 5 if direction == ">" else 1 + 4 * data[0] + 1
            if len(data) < size:
                return [], data
            self._shaken[direction] = 2
            return [Message(data[:size], "neo4j handshake")], data[size:]
        return [], data

    def _is_shaken(self, direction: Direction) -> bool:
        """Whether messages follow. The driver sends its choice in two writes: the first alone reads like a message."""
        return self._shaken[direction] == (2 if self._manifest else 1)


def _bolt_size(data: bytes) -> int | None:
    """How many bytes the first whole message takes, its chunks' heads and its end included."""
    at = 0
    while len(data) >= at + 2:
        size = int.from_bytes(data[at : at + 2])
        at += 2 + size
        if size == 0:
            return at
    return None


def _bolt_kind(piece: bytes) -> str:
    return _BOLT_NAMES.get(piece[3], f"{piece[3]:#x}") if len(piece) > 3 else "NOOP"


def _run(piece: bytes) -> str | None:
    """The Cypher of a RUN message, which is its first field: a string of PackStream."""
    if _bolt_kind(piece) != "RUN":
        return None
    marker, at = piece[4], 5
    width = {0xD0: 1, 0xD1: 2, 0xD2: 4}.get(marker, 0)
    size = int.from_bytes(piece[at : at + width]) if width else marker & 0x0F
    return piece[at + width : at + width + size].decode(errors="replace")
