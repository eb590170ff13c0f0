"""The typed spec of a MemoryKey, as its CRD admits it. No I/O."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from memsys_operator import names
from memsys_operator.spec import LocalObjectRef, Name, Namespace, Ref, typed

_UNITS = {"m": 60, "h": 3600, "d": 86_400}
_LONGEST = timedelta(days=3650)
_ID_LENGTH = 12


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    number, unit = value[:-1], value[-1:]
    if unit not in _UNITS or not number.isdecimal():
        raise ValueError("expected a whole number of minutes, hours or days, such as 30m, 24h or 90d")
    seconds = int(number) * _UNITS[unit]
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"expected at most {_LONGEST.days}d")
    return timedelta(seconds=seconds)


Duration = Annotated[timedelta, BeforeValidator(_duration)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class ServiceAccountRef(_Model):
    name: Name
    namespace: Namespace | None = None


class Rotation(_Model):
    every: Duration | None = None
    overlap: Duration = timedelta(hours=1)

    @model_validator(mode="after")
    def _ends_in_time(self) -> Self:
        if self.every is not None and self.overlap >= self.every:
            raise ValueError("overlap must be shorter than every")
        return self


class KeySpec(_Model):
    system_ref: LocalObjectRef
    projects: tuple[str, ...]
    default_project: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    run_id: str | None = None
    rights: tuple[Literal["read", "write", "admin"], ...] = ("read", "write")
    expires_at: AwareDatetime | None = None
    requests_per_minute: int | None = None
    secret_name: Name | None = None
    service_account: ServiceAccountRef | None = None
    rotation: Rotation = Rotation()


@dataclass(frozen=True, slots=True)
class MemoryKey:
    """One MemoryKey: identity and typed spec."""

    ref: Ref
    uid: str
    generation: int
    spec: KeySpec
    rotation_request: str
    """Value of the annotation that asks for a rotation; each new value asks once."""

    @property
    def key_id(self) -> str:
        """The key's public id. It follows from the resource's uid, so that no step can leave a key that nobody knows;
        a resource made anew under the same name is another key."""
        return key_id(self.uid)

    @property
    def api_name(self) -> str:
        """What the API calls the key; the beginning tells the operator's keys from others'."""
        return f"{prefix(self.ref.namespace)}{self.ref.name}"

    @property
    def secret_name(self) -> str:
        return self.spec.secret_name or self.ref.name

    @property
    def subject(self) -> str | None:
        """The ServiceAccount that stands for the key, as Kubernetes names it; None for a key with a secret."""
        account = self.spec.service_account
        if account is None:
            return None
        return f"system:serviceaccount:{account.namespace or self.ref.namespace}:{account.name}"

    def expired(self, now: datetime) -> bool:
        return self.spec.expires_at is not None and self.spec.expires_at <= now

    def next_rotation(self, issued_at: datetime) -> datetime | None:
        every = self.spec.rotation.every
        return issued_at + every if every is not None else None


def key_id(uid: str) -> str:
    """The id of the key that the MemoryKey of this uid declares."""
    digest = hashlib.sha256(f"{names.KEY_KIND}/{uid}".encode()).digest()
    return base64.b32encode(digest).decode()[:_ID_LENGTH]


def prefix(namespace: str) -> str:
    """How the names of all keys begin that the MemoryKeys of a namespace declare."""
    return f"MemoryKey {namespace}/"


def parse(obj: Mapping[str, Any]) -> MemoryKey:
    """The typed key of a MemoryKey object. Raises :class:`Rejected` naming the field."""
    spec = typed(KeySpec, obj)
    meta = obj["metadata"]
    return MemoryKey(
        ref=Ref(meta["namespace"], meta["name"]),
        uid=meta["uid"],
        generation=meta.get("generation", 0),
        spec=spec,
        rotation_request=(meta.get("annotations") or {}).get(names.ROTATE_ANNOTATION, ""),
    )
