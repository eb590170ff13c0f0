"""The YAML file of settings, ``MEMSYS_CONFIG``: it is what it names that counts, so what cannot be read is an error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml


class ConfigUnusable(Exception):
    """The file cannot be used; the message names it and says why, without a word of what it holds."""


def read(path: Path, known: Collection[str]) -> dict[str, Any]:
    """The values of the file by the names of the settings, whose case does not count there.

    Raises :class:`ConfigUnusable` where the file cannot be read, holds something else, or names none of ``known``.
    """
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except (OSError, UnicodeError) as error:
        raise ConfigUnusable(f"MEMSYS_CONFIG: cannot read {path}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigUnusable(f"MEMSYS_CONFIG: {path} is not YAML{_place(error)}") from None
    if not isinstance(content, Mapping):
        raise ConfigUnusable(f"MEMSYS_CONFIG: {path} must hold a mapping of setting names to values")
    values = {str(name).upper(): value for name, value in content.items()}
    if unknown := sorted(values.keys() - set(known)):
        raise ConfigUnusable(f"MEMSYS_CONFIG: {path} names unknown settings: {', '.join(unknown)}")
    return values


def _place(error: yaml.YAMLError) -> str:
    # The place alone: the line, and PyYAML's own words about it, may quote a secret.
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return ""
    return f" at line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
