"""The memsys memory API."""

__version__ = "0.1.0"
