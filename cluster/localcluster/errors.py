"""The one error that commands end with: a sentence for the person at the keyboard."""


class ClusterError(Exception):
    """Something the user can act on; the message says what was expected and what to do."""
