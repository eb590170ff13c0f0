"""Whether a sink answers, as far as this process knows."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class Breaker:
    """Open while a sink is away: then nobody waits for it but the dispatcher, which closes it again.

    Begins open: nothing is known before the first answer.
    """

    def __init__(self, sink: str) -> None:
        self._sink = sink
        self.closed = False

    def trip(self) -> None:
        """The sink did not answer."""
        if self.closed:
            log.warning("sink does not answer", extra={"sink": self._sink})
        self.closed = False

    def reset(self) -> None:
        """The sink answered."""
        if not self.closed:
            log.info("sink answers", extra={"sink": self._sink})
        self.closed = True
