"""What can keep a system from being as its spec asks, each with the reason that stands in its conditions."""

from __future__ import annotations


class OperatorError(Exception):
    """Base. ``reason`` is a CamelCase word for conditions and events, ``message`` says what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Waiting(OperatorError):
    """Something outside must happen first (a Secret must appear); the next look may find it done."""


class Rejected(OperatorError):
    """The spec asks for something that cannot be carried out; only a changed spec mends it."""

    def __init__(self, message: str, reason: str = "Rejected") -> None:
        super().__init__(reason, message)


class Broken(OperatorError):
    """The state of the cluster needs a person: going on by itself could lose data."""
