"""API keys on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from memsys_api.schemas.fields import Body, ScopeId, storable


class NewKeyRequest(Body):
    """A key to make."""

    name: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable)]
    projects: list[str] = Field(min_length=1, max_length=1000)
    default_project: str | None = Field(None, description="Used when a request names none; by default the first.")
    user_id: ScopeId | None = Field(None, description="Grants this user's memories only.")
    agent_id: ScopeId | None = Field(None, description="Grants this agent's memories only.")
    rights: list[Literal["read", "write", "admin"]] = Field(default=["read", "write"], min_length=1)
    expires_at: AwareDatetime | None = None


class KeyOut(BaseModel):
    """A key, without its secret."""

    id: str
    name: str
    projects: list[str]
    default_project: str
    user_id: str | None
    agent_id: str | None
    rights: list[str]
    created_at: datetime
    expires_at: datetime | None


class NewKey(KeyOut):
    """A key that was just made. `key` is shown this once."""

    key: str
