"""Python client and wire models for memsys."""

__version__ = "0.1.0"
