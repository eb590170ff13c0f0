"""What an error of a driver, a provider's client or a server is, without its message. Pure.

A message may quote what it is about: a provider repeats the prompt, a constraint of a database the value, a client
its key. So where an error is kept, logged or shown, there stand its type and its code, and the words around them are
this product's own.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator

_DEPTH = 6
_WORDS = re.compile(r"[A-Za-z][A-Za-z_]{2,47}(\.[A-Za-z_]{2,48}){0,4}")  # a code, as opposed to a key or a sentence
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")


def cause(error: BaseException) -> str:
    """Name an error by its type, and by the codes that it or what lies beneath it carries; one line, bounded.

    >>> cause(ConnectionRefusedError(111, "no memory text"))
    'ConnectionRefusedError (ECONNREFUSED: Connection refused)'
    """
    codes = dict.fromkeys(code for one in chain(error) for code in _codes(one))
    return type(error).__name__ + (f" ({', '.join(codes)})" if codes else "")


def in_one_line(error: BaseException) -> str:
    """The message of an error that this product worded itself, or whose words hold nothing of a caller's, for a log."""
    return " ".join(str(error).split())


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what lies beneath it, as far as that is worth reading."""
    current: BaseException | None = error
    for _ in range(_DEPTH):
        if current is None:
            return
        yield current
        # qdrant-client keeps what it wraps in an attribute, and names no cause.
        source = getattr(current, "source", None)
        current = source if isinstance(source, BaseException) else current.__cause__ or current.__context__


def _codes(error: BaseException) -> Iterator[str]:
    """What standards and vendors mean to be read by machines: HTTP status, SQLSTATE, errno, a vendor's word."""
    if isinstance(error, ssl.SSLCertVerificationError):
        yield f"certificate verify code {error.verify_code}"
    elif isinstance(error, socket.gaierror):
        yield "the name cannot be resolved"
    elif isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        yield f"{errno.errorcode[error.errno]}: {os.strerror(error.errno)}"
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        yield f"HTTP {status}"
    sqlstate = getattr(error, "sqlstate", None)
    if isinstance(sqlstate, str) and _SQLSTATE.fullmatch(sqlstate):
        yield f"SQLSTATE {sqlstate}"
    for name in ("code", "type"):
        if said := word(getattr(error, name, None)):
            yield said


def word(code: object) -> str | None:
    """A vendor's code if it is one: words of letters, bounded; neither a sentence, nor a key, nor a number."""
    return code if isinstance(code, str) and _WORDS.fullmatch(code) else None
