"""Whether a sink answers, as far as this process knows."""

from __future__ import annotations


class Breaker:
    """Open while a sink is away: then nobody waits for it but the dispatcher, which closes it again.

    Begins open: nothing is known before the first answer.
    """

    def __init__(self) -> None:
        self.closed = False

    def trip(self) -> None:
        """The sink did not answer."""
        self.closed = False

    def reset(self) -> bool:
        """The sink answered; says whether that is news."""
        news = not self.closed
        self.closed = True
        return news
