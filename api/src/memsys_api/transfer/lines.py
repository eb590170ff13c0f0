"""A file's bytes as its lines, in constant memory, and lines as what they say. Pure but for the bytes' arrival."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, NamedTuple, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from memsys_api.schemas.export import FORMAT, FORMAT_VERSION, End, Header, VersionLine

Model = TypeVar("Model", bound=BaseModel)


class Line(NamedTuple):
    """A line of the file, with its number from 1; ``content`` is ``None`` for one that is too long to be read."""

    number: int
    content: bytes | None


class Unreadable(Exception):
    """A line that says nothing that can be imported: which field, if it is one, and why."""

    def __init__(self, field: str | None, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


async def split(chunks: AsyncIterable[bytes], longest: int) -> AsyncIterator[Line]:
    """The lines of a stream of bytes that are not blank. A line of more than ``longest`` bytes is passed over."""
    number, pending, too_long = 0, bytearray(), False
    async for chunk in chunks:
        begin = 0
        while (end := chunk.find(b"\n", begin)) >= 0:
            pending += chunk[begin:end]
            number, begin = number + 1, end + 1
            if too_long or len(pending) > longest:
                yield Line(number, None)
            elif pending.strip():
                yield Line(number, bytes(pending))
            pending, too_long = bytearray(), False
        pending += chunk[begin:]
        if len(pending) > longest:
            pending, too_long = bytearray(), True
    if too_long:
        yield Line(number + 1, None)
    elif pending.strip():
        yield Line(number + 1, bytes(pending))


def header(content: bytes | None) -> Header:
    """The first line. Raises :class:`Unreadable`."""
    return _read(Header, _object(content))


def body(content: bytes | None) -> VersionLine | End:
    """Any other line. Raises :class:`Unreadable`."""
    raw = _object(content)
    return _read(End, raw) if "end" in raw else _read(VersionLine, raw)


def _object(content: bytes | None) -> dict[str, Any]:
    if content is None:
        raise Unreadable(None, "is longer than a request's body may be")
    try:
        raw = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise Unreadable(None, "is not JSON") from None
    if not isinstance(raw, dict):
        raise Unreadable(None, "is not a JSON object")
    return raw


def _read(model: type[Model], raw: dict[str, Any]) -> Model:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        raise Unreadable(field, first["msg"].removeprefix("Value error, ")) from None


def write_header(heads: bool) -> bytes:
    """The first line of an export."""
    return orjson.dumps({"format": FORMAT, "version": FORMAT_VERSION, "heads": heads}) + b"\n"


def write_version(values: dict[str, Any]) -> bytes:
    """A version's line; what is absent is left out."""
    return orjson.dumps({name: value for name, value in values.items() if value is not None}) + b"\n"


def write_end(versions: int) -> bytes:
    """The last line of an export."""
    return orjson.dumps({"end": True, "versions": versions}) + b"\n"
