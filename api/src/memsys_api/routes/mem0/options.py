"""What mem0's clients may ask for. Every option they declare is here: it works, or the answer names it and is 501."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, WithJsonSchema

from memsys_api import filters
from memsys_api.filters import EARLIEST, LATEST, SCOPE_FIELDS
from memsys_api.problems import NOT_SUPPORTED, FieldError, ProblemError, invalid
from memsys_api.routes.common import bounded, read_filters
from memsys_api.schemas import MAX_RESULTS, Body, Metadata, Scoped, Text, Turns, UpdateRequest
from memsys_api.schemas.fields import WHOLE
from memsys_api.schemas.rules import DAY, DAY_OR_MOMENT, UNIX_SECONDS, given

MAX_BATCH = 1_000
HIT_FIELDS = (
    "id", "memory", "hash", "metadata", "categories", "user_id", "agent_id", "app_id", "run_id", "created_at",
    "updated_at", "expiration_date", "version", "score",
)  # fmt: skip
"""What a result of a search has, and `fields` may ask for."""

_IDS = {
    "type": "object",
    "properties": {field: {"type": "string", "pattern": r"^[^\x00*][^\x00]*$"} for field in SCOPE_FIELDS},
    "additionalProperties": False,
}
_FIELDS = {"type": "array", "items": {"enum": list(HIT_FIELDS)}}
Day = Annotated[date, WithJsonSchema(DAY)]
DayOrMoment = Annotated[str, WithJsonSchema({"anyOf": DAY_OR_MOMENT})]
UnixSeconds = Annotated[
    float, Field(allow_inf_nan=False, strict=True), WithJsonSchema({"type": "number"} | UNIX_SECONDS)
]
WholeUnixSeconds = Annotated[int, Field(strict=True), WHOLE, WithJsonSchema({"type": "integer"} | UNIX_SECONDS)]


class Mem0Add(Scoped):
    """`add`: messages for the ids, which stand at the top or in `filters`."""

    messages: Turns
    filters: Annotated[Metadata, WithJsonSchema(_IDS)] | None = Field(
        None, description="The ids, as the clients also give them."
    )
    metadata: Metadata | None = None
    infer: StrictBool | None = None
    timestamp: Annotated[int, Field(strict=True, ge=EARLIEST, le=LATEST), WHOLE] | None = Field(
        None, description="When it happened, in Unix seconds."
    )
    expiration_date: Day | None = Field(None, description="The last day, in UTC, on which it is remembered.")
    custom_categories: Any = None
    custom_instructions: Text | None = Field(None, description="Instructions to the language model.")
    agent_custom_instructions: Any = None
    structured_data_schema: Any = None


class Mem0Update(Body):
    """`update`: a memory's new text, metadata, time and expiry; `null` as expiry clears it."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                given("text", "string"),
                given("metadata", "object"),
                given("timestamp", "number", "string"),
                {"required": ["expiration_date"]},
            ]
        }
    )

    text: Text | None = None
    metadata: Metadata | None = None
    timestamp: UnixSeconds | DayOrMoment | None = Field(None, description="When it happened: Unix seconds or ISO 8601.")
    expiration_date: Day | None = Field(None, description="The last day, in UTC, on which it is remembered.")


class Mem0BatchUpdateItem(Body):
    """One memory of `batch_update`: its text, its metadata or both."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [given("text", "string"), given("metadata", "object")]})

    memory_id: UUID
    text: Text | None = None
    metadata: Metadata | None = None


class Mem0BatchUpdate(Body):
    """`batch_update`."""

    memories: list[Mem0BatchUpdateItem] = Field(min_length=1, max_length=MAX_BATCH)


class Mem0BatchDeleteItem(Body):
    """One memory of `batch_delete`."""

    memory_id: UUID


class Mem0BatchDelete(Body):
    """`batch_delete`."""

    memories: list[Mem0BatchDeleteItem] = Field(min_length=1, max_length=MAX_BATCH)


class Mem0Search(Body):
    """`search`."""

    query: Text
    filters: Metadata | None = Field(None, description="As the filters of `/search`; the ids stand here.")
    metadata: Metadata | None = Field(None, description="Fields that a memory's metadata must equal.")
    top_k: Annotated[int, Field(strict=True, ge=1, le=MAX_RESULTS), WHOLE] | None = None
    threshold: float | None = Field(None, strict=True, ge=0, le=1)
    fields: Annotated[list[str], WithJsonSchema(_FIELDS)] | None = Field(
        None, description="Which fields of a result to answer; `id` always is."
    )
    reference_date: DayOrMoment | WholeUnixSeconds | None = Field(None, description="What the query's 'today' is.")
    show_expired: StrictBool | None = None
    latest_only: StrictBool | None = None
    keyword_search: StrictBool | None = None
    rerank: StrictBool | None = None
    categories: Any = None
    output_format: Literal["v1.1"] | None = None
    source: str | None = Field(None, max_length=200, description="Which surface asks; not looked at.")


class Mem0GetAll(Body):
    """`get_all`; which page is in the query."""

    filters: Metadata | None = None
    start_date: DayOrMoment | None = Field(None, description="Created at or after this time; a date is the whole day.")
    end_date: DayOrMoment | None = Field(None, description="Created at or before this time; a date is the whole day.")
    show_expired: StrictBool | None = None
    latest_only: StrictBool | None = None
    categories: Any = None


class PageQuery(Body):
    """Which page."""

    page: int = Field(1, ge=1, le=1_000_000)
    page_size: int = Field(100, ge=1, le=MAX_RESULTS)


class DeleteQuery(Body):
    """`delete`. A memory's earlier versions end with it, whether or not they are asked for."""

    delete_linked: bool = False


class DeleteAllQuery(Scoped):
    """`delete_all`: the ids, at the top or as a JSON object in `filters`."""

    filters: Annotated[str, Field(max_length=10_000)] | None = None


def supported(request: BaseModel) -> None:
    """Refuse by name what was asked for and is not to be had. Raises a ``not-supported`` problem."""
    refused = [
        FieldError(field, why)
        for field, (acceptable, why) in _REFUSED.items()
        if getattr(request, field, None) not in (None, *acceptable)
    ]
    if refused:
        raise ProblemError(NOT_SUPPORTED, "; ".join(f"{e.field}: {e.message}" for e in refused), errors=refused)


_REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "custom_categories": ((), "memories have no categories here; use metadata"),
    "categories": ((), "memories have no categories here; filter by metadata"),
    "agent_custom_instructions": ((), "there is no such distinction here; give custom_instructions"),
    "structured_data_schema": ((), "structured extraction is not supported"),
    "show_expired": ((False,), "an expired memory cannot be shown; its history can"),
    "latest_only": ((True,), "only the latest version of a memory is found; see its history for others"),
    "keyword_search": ((True,), "words are always searched for, beside meaning"),
}


def change(request: Mem0Update) -> UpdateRequest:
    """What an update asks for. Raises an ``invalid-request`` problem where that is nothing."""
    values: dict[str, Any] = {"text": request.text, "metadata": request.metadata}
    if request.timestamp is not None:
        values["timestamp"] = happened_at(request.timestamp)
    if "expiration_date" in request.model_fields_set:
        values["expires_at"] = expires_at(request.expiration_date)
    elif all(value is None for value in values.values()):
        raise invalid("text", "give at least one of text, metadata, timestamp and expiration_date")
    return UpdateRequest.model_validate(values)


def ids_of(request: Mem0Add) -> dict[str, str | None]:
    """The ids of an add. Raises an ``invalid-request`` problem for any other filter."""
    wanted = filters.parse(request.filters)
    if wanted.rest is not None:
        raise invalid("filters", "must hold nothing but user_id, agent_id, app_id and run_id, each with one value")
    return wanted.within({field: getattr(request, field) for field in filters.SCOPE_FIELDS})


def deleted_scope(query: DeleteAllQuery) -> dict[str, str | None]:
    """The ids that bound a deletion: all that was said was understood, or it is refused.

    Raises an ``invalid-request`` problem: what is left out of a deletion's filter is deleted.
    """
    ids = {field: getattr(query, field) for field in filters.SCOPE_FIELDS}
    if query.filters is not None:
        wanted = filters.parse(read_filters(query.filters))
        if wanted.rest is not None:
            raise invalid(
                "filters", "a deletion takes nothing but user_id, agent_id, app_id and run_id, each with one value"
            )
        ids = wanted.within(ids)
    for field, value in ids.items():
        if value == "*":
            raise invalid(field, "a deletion takes no wildcard; give one id")
    bounded(ids)
    return ids


def wanted(request: Mem0Search | Mem0GetAll) -> filters.Filters:
    """Everything by which a request filters, as one filter."""
    parts = [dict(request.filters)] if request.filters else []
    if isinstance(request, Mem0Search) and request.metadata:
        parts.append({"metadata": {field: {"eq": value} for field, value in request.metadata.items()}})
    if isinstance(request, Mem0GetAll):
        bounds = (("start_date", "gte", request.start_date), ("end_date", "lte", request.end_date))
        for field, operator, value in bounds:
            if value is not None:
                filters.read_time(value, field)  # so that an error names the option
                parts.append({"created_at": {operator: value}})
    if not parts:
        return filters.parse(None)
    return filters.parse(parts[0] if len(parts) == 1 else {"AND": parts})


def happened_at(timestamp: float | str | None) -> datetime | None:
    """When it happened; of a day its beginning."""
    return None if timestamp is None else filters.read_time(timestamp, "timestamp")[0]


def expires_at(day: date | None) -> datetime | None:
    """The end of the last day, in UTC."""
    if day is None:
        return None
    if not date(2, 1, 1) <= day < date(9998, 12, 31):
        raise invalid("expiration_date", "is too far away")
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def last_day(moment: datetime | None) -> str | None:
    """The last day on which a memory with this expiry is remembered, as mem0 writes it."""
    return None if moment is None else (moment.astimezone(UTC) - timedelta(microseconds=1)).date().isoformat()


def reference(value: str | int | None) -> datetime | None:
    """What a search takes for today."""
    return None if value is None else filters.read_time(value, "reference_date")[0]
