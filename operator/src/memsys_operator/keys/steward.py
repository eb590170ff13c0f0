"""Brings the MemoryKeys of one system into its API and their Secrets: observe -> settle -> act -> report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from memsys_operator import names
from memsys_operator.cluster import Cluster, ClusterError
from memsys_operator.errors import Broken, OperatorError, Rejected, Waiting
from memsys_operator.keys import issue as issues
from memsys_operator.keys.api import Endpoint, KeysAPI
from memsys_operator.keys.issue import Issue
from memsys_operator.keys.spec import MemoryKey, key_id, parse, prefix
from memsys_operator.keys.status import status
from memsys_operator.observed import Manifest
from memsys_operator.plan import Apply, drift, stamped
from memsys_operator.spec import Ref

logger = logging.getLogger(__name__)

Listed = Mapping[str, Mapping[str, Any]]


class Steward:
    """Holds nothing between passes: all it knows of a key is in the cluster and in the API."""

    def __init__(self, cluster: Cluster, api: KeysAPI, make: Callable[[], str]) -> None:
        self._cluster = cluster
        self._api = api
        self._make = make

    async def run(
        self, system: Ref, endpoint: Endpoint | None, why: str, services: Mapping[str, str]
    ) -> ClusterError | None:
        """Look after every MemoryKey that names the system. ``endpoint`` is None while its API cannot be asked, for
        the reason ``why``. ``services`` are the addresses to write beside each key.

        What is wrong with one key is reported on that key; it keeps no other from being looked after, nor one whose
        resource is gone from being ended. Answers what the apiserver refused last: try again later.
        """
        objects = await self._cluster.memory_keys(system)
        listed, away = await self._listed(endpoint, why)
        refused: ClusterError | None = None
        for obj in objects:
            try:
                refused = await self._look_after(obj, endpoint, listed, away, services) or refused
            except ClusterError as error:
                logger.warning("%s/%s: its status cannot be written: %s", system, obj["metadata"]["name"], error)
                refused = error
        if endpoint is not None and away is None:
            await self._sweep(system, endpoint, listed, {key_id(obj["metadata"]["uid"]) for obj in objects})
        return refused

    async def _listed(self, endpoint: Endpoint | None, why: str) -> tuple[Listed, OperatorError | None]:
        if endpoint is None:
            return {}, Waiting("SystemNotReady", why)
        try:
            return await self._api.live(endpoint), None
        except OperatorError as error:
            return {}, error

    async def _look_after(
        self,
        obj: Manifest,
        endpoint: Endpoint | None,
        listed: Listed,
        away: OperatorError | None,
        services: Mapping[str, str],
    ) -> ClusterError | None:
        """Bring one key nearer to its spec and report. Answers what the apiserver refused."""
        now = datetime.now(UTC)
        key: MemoryKey | None = None
        issue: Issue | None = None
        problem: OperatorError | None = away
        try:
            key = parse(obj)
            if endpoint is not None and away is None:
                issue = await self._settle(key, endpoint, listed.get(key.key_id), services, now)
        except OperatorError as error:
            problem = error
        except Exception as error:
            logger.exception(
                "%s/%s: the key cannot be looked after", obj["metadata"]["namespace"], obj["metadata"]["name"]
            )
            said = f"the key cannot be looked after ({type(error).__name__}: {error}); see the operator's log"
            problem = Broken("Failed", said)
        report = status(obj, key, issue, problem, now.strftime("%Y-%m-%dT%H:%M:%SZ"))
        before = obj.get("status") or {}
        if problem is not None and (key is None or key.subject is None):  # what was known of the secret still holds
            report |= {field: before[field] for field in ("secretName", "issuedAt") if field in before}
        if report != before:
            await self._cluster.write_key_status(Ref(obj["metadata"]["namespace"], obj["metadata"]["name"]), report)
        return problem if isinstance(problem, ClusterError) else None

    async def _settle(
        self,
        key: MemoryKey,
        endpoint: Endpoint,
        listed: Mapping[str, Any] | None,
        services: Mapping[str, str],
        now: datetime,
    ) -> Issue | None:
        """Declare what differs to the API, then write the Secret; why in this order, :mod:`.issue` says."""
        if key.expired(now):
            await self._expire(key, endpoint, listed)
        if key.subject is not None:
            await self._declare(key, endpoint, issues.declaration(key, None, now), listed)
            if not endpoint.reviews_tokens:
                raise Waiting(
                    "TokenReviewOff",
                    f"spec.serviceAccount: MemorySystem {key.spec.system_ref.name} reviews no tokens; set its "
                    "spec.api.tokenReview to true, or remove serviceAccount for a key in a Secret",
                )
            return None
        system_name = key.spec.system_ref.name
        if key.secret_name in names.own_secrets(system_name):
            raise Rejected(
                f"spec.secretName: Secret {key.secret_name} is for MemorySystem {system_name} itself; "
                "make another MemoryKey, with another name or secretName",
                reason="NameTaken",
            )
        secret = await self._cluster.secret(key.ref.namespace, key.secret_name)
        if secret is not None and not _ours(key, secret):
            raise Rejected(
                f"spec.secretName: Secret {key.secret_name} exists and belongs to something else; "
                "delete it or choose another name",
                reason="NameTaken",
            )
        issue = issues.settle(key, issues.read(key, secret), now, self._make)
        wanted = stamped(issues.secret_manifest(key, issue, services))
        write: Apply | None = None
        if because := ("missing",) if secret is None else tuple(drift(wanted, secret)):
            write = Apply(wanted, because, new=secret is None)
            # A Secret that is not admitted must not cost the key that opens the API now.
            await self._cluster.rehearse(key.ref.namespace, write)
        await self._declare(key, endpoint, issues.declaration(key, issue, now), listed)
        if write is not None:
            logger.info("%s: write Secret %s: %s", key.ref, key.secret_name, ", ".join(write.because[:5]))
            await self._cluster.execute(key.ref.namespace, write)
        return issue

    async def _expire(self, key: MemoryKey, endpoint: Endpoint, listed: Mapping[str, Any] | None) -> NoReturn:
        """Say that the key has ended. One that the API lets in for longer, because ``expiresAt`` was brought forward,
        is revoked: the API takes no moment that has passed."""
        at = f"spec.expiresAt: the key ended at {key.spec.expires_at}"
        if listed is not None and issues.outlives(key, listed):
            logger.info("%s: revoke key %s, which has expired", key.ref, key.key_id)
            await self._api.revoke(endpoint, key.key_id)
            listed = None
        if listed is None:
            raise Rejected(f"{at}; delete it, and make another MemoryKey for what still needs one", reason="Expired")
        raise Rejected(f"{at}; set a later moment, or delete the MemoryKey", reason="Expired")

    async def _declare(
        self, key: MemoryKey, endpoint: Endpoint, wanted: Mapping[str, Any], listed: Mapping[str, Any] | None
    ) -> None:
        if not issues.declared(wanted, listed):
            logger.info("%s: declare key %s to the API", key.ref, key.key_id)
            await self._api.declare(endpoint, key.key_id, wanted)

    async def _sweep(self, system: Ref, endpoint: Endpoint, listed: Listed, present: Collection[str]) -> None:
        """End the keys that MemoryKeys of this namespace declared and that are none any more.

        The API was asked after the resources were read, and nobody else declares: a key of a resource that came
        meanwhile is not in the list yet.
        """
        for declared, key in listed.items():
            if str(key.get("name", "")).startswith(prefix(system.namespace)) and declared not in present:
                logger.info("%s: revoke key %s of %s, which is gone", system, declared, key["name"])
                try:
                    await self._api.revoke(endpoint, declared)
                except (Waiting, Rejected) as error:
                    logger.warning("%s: key %s cannot be revoked now: %s", system, declared, error)


def _ours(key: MemoryKey, secret: Manifest) -> bool:
    owners = secret["metadata"].get("ownerReferences") or ()
    if any(owner["kind"] == names.KEY_KIND and owner["uid"] == key.uid for owner in owners):
        return True
    # Of an earlier MemoryKey of this name, left over because its garbage was not collected yet.
    return (secret["metadata"].get("labels") or {}).get(names.KEY_LABEL) == key.ref.name
