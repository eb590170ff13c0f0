"""Memories that mem0 keeps: behind its server, in its pgvector table, in its SQLite history."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import httpx

from memsys.headers import word
from memsys.importing.lines import MAX_TEXT, SCOPE_IDS, Item, Skipped, identifier, memory, moment

_PAGE = 500
_MOST = 1_000
"""What mem0's server answers at most, in one page; and twenty, unless it is asked for more."""
# What mem0 puts beside the caller's own metadata.
_OWN = frozenset(
    {"data", "hash", "created_at", "updated_at", "expiration_date", "text_lemmatized", "linked_memory_ids", *SCOPE_IDS}
)
# What stands among the metadata in mem0's stores, and beside it in its server's answers.
_SAID = ("actor_id", "role", "attributed_to")


def server(
    url: str, key: str | None, scope: Mapping[str, str], *, transport: httpx.BaseTransport | None = None
) -> Iterator[Item]:
    """The memories of one scope of a running server, page by page (``GET /memories``).

    Raises :class:`httpx.HTTPError`, and :class:`ValueError` for a key that no header carries.
    """
    headers = {"X-API-Key": word("the source's key", key), "Authorization": f"Token {key}"} if key else {}
    with httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=60, transport=transport) as http:
        following: str | None = "/memories"
        query: dict[str, str | int] = {**scope, "top_k": _MOST}
        while following:
            answer = http.get(following, params=query or None)  # none at all: the address of a page has its own
            if answer.status_code == 400 and "top_k" in query:  # a server that has pages of its own
                del query["top_k"]
                continue
            answer.raise_for_status()
            document = answer.json()
            results = document.get("results", []) if isinstance(document, dict) else document
            for one in results:
                yield _served(one)
            cursor = document.get("next_cursor") if isinstance(document, dict) else None
            following = "/memories" if cursor else document.get("next") if isinstance(document, dict) else None
            if not following and "top_k" in query and len(results) >= _MOST:
                yield Skipped("the rest", f"the server tells of {_MOST} memories at most: read its table instead")
            query = {**scope, "cursor": cursor} if cursor else {}


def _served(one: Mapping[str, Any]) -> Item:
    said = {field: one[field] for field in _SAID if one.get(field) is not None}
    return memory(
        "mem0-server",
        str(one.get("id")),
        one.get("memory"),
        scope=one,
        defaults={},
        metadata=said | (one.get("metadata") or {}),
        **_told(one),
    )


def _told(one: Mapping[str, Any]) -> dict[str, str | None]:
    """When a memory was said and by whom, and until when it is remembered; mem0 names the same fields everywhere."""
    created, updated = moment(one.get("created_at")), moment(one.get("updated_at"))
    return {
        "speaker": one.get("actor_id") or None,
        "role": one.get("role") or one.get("attributed_to") or None,
        "event_time": created,
        "created_at": created,
        "recorded_from": updated or created,
        "expires_at": _end_of(one.get("expiration_date")),
    }


def _end_of(day: object) -> str | None:
    """The end of the last day, in UTC, on which mem0 shows a memory; what is no day bounds nothing there either."""
    try:
        return (datetime.combine(date.fromisoformat(str(day)), time(), UTC) + timedelta(days=1)).isoformat()
    except (ValueError, OverflowError):
        return None


def table(url: str, name: str, defaults: Mapping[str, str]) -> Iterator[Item]:
    """The rows of a collection of mem0's pgvector store, read through a cursor.

    Raises :class:`ImportError` without psycopg, and its errors.
    """
    import psycopg
    from psycopg import sql

    with psycopg.connect(url) as conn, conn.cursor(name="memories") as cursor:
        cursor.itersize = _PAGE
        cursor.execute(
            sql.SQL("SELECT id::text, payload FROM {} ORDER BY payload ->> 'created_at', id").format(
                sql.Identifier(*name.split("."))
            )
        )
        for row_id, payload in cursor:
            yield memory(
                "mem0-pgvector",
                row_id,
                payload.get("data"),
                scope=payload,
                defaults=defaults,
                metadata={field: value for field, value in payload.items() if field not in _OWN},
                **_told(payload),
            )


def history(path: Path, defaults: Mapping[str, str]) -> Iterator[Item]:
    """Every change in mem0's SQLite history, as versions. It knows no users: ``defaults`` say whose they are.

    A memory's changes are taken in the order in which they were written down: until 2.0 mem0 dated no deletion, and
    its times stood in more than one zone.

    Raises :class:`sqlite3.Error`.
    """
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as conn:
        rows = conn.execute(
            """SELECT memory_id, old_memory, new_memory, event, created_at, updated_at, actor_id, role FROM history
               ORDER BY memory_id, rowid"""
        )
        before: dict[str, Any] | None = None
        for row in rows:
            change = _changed(row, before, defaults)
            yield change
            if isinstance(change, dict):
                before = change
    conn.close()


def _changed(row: tuple[Any, ...], before: dict[str, Any] | None, defaults: Mapping[str, str]) -> Item:
    memory_id, _, new, event, created, updated, actor, role = row
    name = identifier("mem0-history", str(memory_id))
    known = before if before is not None and before["id"] == name else None
    deleted = str(event).upper() == "DELETE"
    if known is None and deleted:
        return Skipped(str(memory_id), "was deleted, and what it said is not in the history")
    if known is not None and known["state"] == "deleted":
        return Skipped(str(memory_id), "was changed after it was deleted")
    if not deleted and (not isinstance(new, str) or not new.strip() or len(new) > MAX_TEXT):
        return Skipped(str(memory_id), f"has a version without a text of 1 to {MAX_TEXT} characters")
    first = moment(created) or moment(updated)
    recorded = moment(updated) or first
    if known is not None:  # both in UTC, so that the later one is the greater
        after = _just_after(known["recorded_from"])
        recorded = after if recorded is None else max(recorded, after)
    elif recorded is None:
        return Skipped(str(memory_id), "has a change without a time")
    return {
        "id": name,
        "version": known["version"] + 1 if known else 1,
        "state": "deleted" if deleted else "active",
        "memory": "" if deleted else new,
        **defaults,
        **({"speaker": actor} if actor else {}),
        **({"role": role} if role else {}),
        "provenance": {"imported_from": "mem0-history", "id": str(memory_id)},
        "event_time": known["event_time"] if known else first,
        "created_at": known["created_at"] if known else first,
        "recorded_from": recorded,
    }


def _just_after(recorded: str) -> str:
    return (datetime.fromisoformat(recorded) + timedelta(microseconds=1)).isoformat()
