"""A project's policy on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from memsys_api.model import Quarantine
from memsys_api.schemas.fields import WHOLE, Body

_MOST = 2**53


class PolicyDocument(Body):
    """What a project sets for itself; null leaves it to the server."""

    quarantine: Quarantine | None = Field(
        None, description="What becomes of a write that looks like a secret or like an instruction planted for later."
    )
    llm_tokens_per_day: Annotated[int, Field(strict=True, ge=0, le=_MOST), WHOLE] | None = Field(
        None,
        description="Tokens of the language model a day (UTC); past them adds are stored as they were said, "
        "and a language model reranks no searches. "
        "Only the server's admin key may change it.",
    )
    requests_per_minute: Annotated[int, Field(strict=True, ge=1, le=1_000_000), WHOLE] | None = Field(
        None,
        description="Requests a minute of each key that has no limit of its own. Only the server's admin key may "
        "change it.",
    )


class PolicyInForce(BaseModel):
    """What holds, with the server's defaults where the project says nothing. A limit of null is none."""

    quarantine: Quarantine
    llm_tokens_per_day: int | None
    requests_per_minute: int | None


class PolicyOut(BaseModel):
    """A project's policy."""

    project: str
    policy: PolicyDocument
    in_force: PolicyInForce
    llm_tokens_today: int = Field(description="Tokens of the language model that the project has used today (UTC).")
    updated_at: datetime | None = Field(description="Null where it was never set.")
    updated_by: str | None = Field(description="The id of the key that set it.")
