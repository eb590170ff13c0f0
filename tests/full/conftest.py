"""The same fixtures as the fault tests'."""

from __future__ import annotations

from tests.faults.conftest import model, seed

__all__ = ["model", "seed"]
