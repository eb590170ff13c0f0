"""The methods of both clients on API keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from memsys import operations
from memsys.models import Key, NewKey
from memsys.operations import Scope
from memsys.sending import AsyncSending, Sending


class KeyMethods(Sending):
    """What the blocking client can do with keys."""

    def create_key(
        self,
        name: str,
        *,
        projects: Sequence[str],
        default_project: str | None = None,
        rights: Sequence[str] = ("read", "write"),
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        expires_at: datetime | None = None,
        requests_per_minute: int | None = None,
    ) -> NewKey:
        """Make a key; needs an admin key. Its secret is in the answer and nowhere else. Never retried."""
        return self._send(
            operations.create_key(
                name,
                projects=projects,
                default_project=default_project,
                rights=rights,
                scope=Scope(user_id, agent_id, app_id, run_id),
                expires_at=expires_at,
                requests_per_minute=requests_per_minute,
            )
        )

    def declare_key(
        self,
        key_id: str,
        name: str,
        *,
        projects: Sequence[str],
        default_project: str | None = None,
        rights: Sequence[str] = ("read", "write"),
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        expires_at: datetime | None = None,
        requests_per_minute: int | None = None,
        secrets: Mapping[str, datetime | None] | None = None,
        subject: str | None = None,
    ) -> Key:
        """Have a key be exactly this, under an id of your own; needs the server's admin key. May be repeated.

        ``secrets`` are SHA-256 hashes, each with the time until which it is accepted (``None``: without end); the key
        is then ``msk_<id>_<secret>``. ``subject`` is a Kubernetes ServiceAccount whose tokens stand for the key.
        """
        return self._send(
            operations.declare_key(
                key_id,
                name,
                projects=projects,
                default_project=default_project,
                rights=rights,
                scope=Scope(user_id, agent_id, app_id, run_id),
                expires_at=expires_at,
                requests_per_minute=requests_per_minute,
                secrets=secrets,
                subject=subject,
            )
        )

    def rotate_key(self, key_id: str, *, overlap_seconds: int | None = None) -> NewKey:
        """Give a key a new secret; the one before is accepted for the overlap. Needs an admin key. Never retried."""
        return self._send(operations.rotate_key(key_id, overlap_seconds=overlap_seconds))

    def keys(self) -> Sequence[Key]:
        """All keys, without their secrets; needs an admin key."""
        return self._send(operations.list_keys())

    def delete_key(self, key_id: str) -> None:
        """Revoke a key; needs an admin key."""
        return self._send(operations.delete_key(key_id))


class AsyncKeyMethods(AsyncSending):
    """The same, to be awaited."""

    async def create_key(
        self,
        name: str,
        *,
        projects: Sequence[str],
        default_project: str | None = None,
        rights: Sequence[str] = ("read", "write"),
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        expires_at: datetime | None = None,
        requests_per_minute: int | None = None,
    ) -> NewKey:
        """Make a key; needs an admin key. Its secret is in the answer and nowhere else. Never retried."""
        return await self._send(
            operations.create_key(
                name,
                projects=projects,
                default_project=default_project,
                rights=rights,
                scope=Scope(user_id, agent_id, app_id, run_id),
                expires_at=expires_at,
                requests_per_minute=requests_per_minute,
            )
        )

    async def declare_key(
        self,
        key_id: str,
        name: str,
        *,
        projects: Sequence[str],
        default_project: str | None = None,
        rights: Sequence[str] = ("read", "write"),
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        expires_at: datetime | None = None,
        requests_per_minute: int | None = None,
        secrets: Mapping[str, datetime | None] | None = None,
        subject: str | None = None,
    ) -> Key:
        """Have a key be exactly this, under an id of your own; needs the server's admin key. May be repeated.

        ``secrets`` are SHA-256 hashes, each with the time until which it is accepted (``None``: without end); the key
        is then ``msk_<id>_<secret>``. ``subject`` is a Kubernetes ServiceAccount whose tokens stand for the key.
        """
        return await self._send(
            operations.declare_key(
                key_id,
                name,
                projects=projects,
                default_project=default_project,
                rights=rights,
                scope=Scope(user_id, agent_id, app_id, run_id),
                expires_at=expires_at,
                requests_per_minute=requests_per_minute,
                secrets=secrets,
                subject=subject,
            )
        )

    async def rotate_key(self, key_id: str, *, overlap_seconds: int | None = None) -> NewKey:
        """Give a key a new secret; the one before is accepted for the overlap. Needs an admin key. Never retried."""
        return await self._send(operations.rotate_key(key_id, overlap_seconds=overlap_seconds))

    async def keys(self) -> Sequence[Key]:
        """All keys, without their secrets; needs an admin key."""
        return await self._send(operations.list_keys())

    async def delete_key(self, key_id: str) -> None:
        """Revoke a key; needs an admin key."""
        return await self._send(operations.delete_key(key_id))
