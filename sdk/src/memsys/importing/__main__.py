"""The command ``memsys-import``: reads a source, sends its lines, says what became of them."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from memsys.client import Client
from memsys.errors import MemsysError
from memsys.importing import mem0, server_memory
from memsys.importing.lines import SCOPE_IDS, Item, Skipped, file

_PROGRESS = 1_000
_SHOWN = 20
_LONGEST_SHOWN = 100  # characters: what is left out may be too long for a memory
_CREDENTIALS = re.compile(r"//[^/@\s]*@")


class _SourceError(Exception):
    """The source cannot be read (any further)."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command. 0: everything was brought over or had been before; 1: something was not; 2: it could not run."""
    given = _parser().parse_args(arguments)
    tally = _Tally()
    lines = tally.watch(_read(given))
    try:
        if given.dry_run:
            for _ in lines:
                pass
            print(f"would send {tally.read} versions")
            failed = 0
        else:
            with Client(given.url, given.key, project=given.project) as client:
                report = client.import_lines(file(lines))
            print(
                f"imported {report.imported}, unchanged {report.unchanged}, "
                f"erased there {report.erased}, held for review {report.held}, failed {report.failed}"
            )
            for error in report.errors[:_SHOWN]:
                print(f"  line {error.line}: {f'{error.field} ' if error.field else ''}{error.message}")
            failed = report.failed
    except _SourceError as error:
        print(f"memsys-import: {error}; nothing is doubled when it is run again", file=sys.stderr)
        return 2
    except (MemsysError, httpx.HTTPError, OSError, ValueError) as error:
        print(f"memsys-import: {given.url}: {error}; run it again, nothing is doubled", file=sys.stderr)
        return 2
    for skipped in tally.skipped[:_SHOWN]:
        print(f"  left out {_short(skipped.what)!r}: {skipped.reason}")
    if len(tally.skipped) > _SHOWN:
        print(f"  and {len(tally.skipped) - _SHOWN} more left out")
    return 1 if failed or tally.skipped else 0


def _short(what: str) -> str:
    return what if len(what) <= _LONGEST_SHOWN else f"{what[: _LONGEST_SHOWN - 1]}…"


class _Tally:
    """What has been read so far."""

    def __init__(self) -> None:
        self.read = 0
        self.skipped: list[Skipped] = []

    def watch(self, items: Iterable[Item]) -> Iterator[dict[str, Any]]:
        """The lines among these; says from time to time how many there were."""
        for item in items:
            if isinstance(item, Skipped):
                self.skipped.append(item)
                continue
            self.read += 1
            if self.read % _PROGRESS == 0:
                print(f"{self.read} versions read", file=sys.stderr)
            yield item


def _read(given: argparse.Namespace) -> Iterator[Item]:
    """The items of the source. Raises :class:`_SourceError` for whatever keeps it from being read to its end."""
    try:
        yield from _items(given)
    except ImportError as error:
        raise _SourceError(f"{given.source} needs psycopg, install memsys[postgres] ({error})") from error
    except Exception as error:  # of drivers and of documents that are not what they should be
        said = _CREDENTIALS.sub("//", " ".join(str(error).split()))
        raise _SourceError(f"the source {given.source} cannot be read: {type(error).__name__}: {said}") from error


def _items(given: argparse.Namespace) -> Iterator[Item]:
    scope: Mapping[str, str] = {field: value for field in SCOPE_IDS if (value := getattr(given, field))}
    if given.source == "mem0-server":
        return mem0.server(given.address, given.source_key, scope)
    if given.source == "mem0-pgvector":
        return mem0.table(given.address, given.table, scope)
    if given.source == "mem0-history":
        return mem0.history(Path(given.address), scope)
    return server_memory.graph(Path(given.address), scope)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("memsys-import", description="Bring memories from elsewhere into a project.")
    parser.add_argument("source", choices=["mem0-server", "mem0-pgvector", "mem0-history", "server-memory"])
    parser.add_argument("address", help="the server's URL, the database's URL, or the file")
    parser.add_argument("--url", default=os.environ.get("MEMSYS_API_URL", "http://127.0.0.1:8000"), help="this service")
    parser.add_argument("--key", default=os.environ.get("MEMSYS_API_KEY"), help="an admin key of the project")
    parser.add_argument("--project", help="by default the key's own")
    parser.add_argument("--source-key", help="the key of mem0's server")
    parser.add_argument("--table", default="mem0", help="the collection's table (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="read everything, send nothing")
    for field in SCOPE_IDS:
        parser.add_argument(f"--{field.replace('_', '-')}", help="of what has none of its own; of mem0-server: whose")
    return parser


if __name__ == "__main__":
    sys.exit(main())
