"""The only Kubernetes I/O: observe, server-side apply, delete, status, events. No decisions are made here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from memsys_operator import __version__, fields, metrics, names
from memsys_operator.errors import Broken, OperatorError, Rejected, Waiting
from memsys_operator.observed import Key, Manifest, Observed, key_of
from memsys_operator.paths import segment
from memsys_operator.plan import PRUNED_KINDS, Action, Apply, Create, Delete, Release, target
from memsys_operator.spec import Ref

#: kind -> path prefix of its API and plural.
KINDS: dict[str, tuple[str, str]] = {
    "Secret": ("/api/v1", "secrets"),
    "Service": ("/api/v1", "services"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Pod": ("/api/v1", "pods"),
    "StatefulSet": ("/apis/apps/v1", "statefulsets"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "Ingress": ("/apis/networking.k8s.io/v1", "ingresses"),
    "HTTPRoute": ("/apis/gateway.networking.k8s.io/v1", "httproutes"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
    names.KIND: (f"/apis/{names.API_VERSION}", names.PLURAL),
    names.KEY_KIND: (f"/apis/{names.API_VERSION}", names.KEY_PLURAL),
}
#: What belongs to a system, in no order. Their plurals are also what is watched. HTTPRoute is left out: it cannot be
#: watched in a cluster that does not serve it; the resync sees what happens to one.
CHILD_KINDS = tuple(kind for kind in KINDS if kind not in (names.KIND, names.KEY_KIND, "HTTPRoute"))

#: What stands beside the parts of a system, which serve without it.
_BESIDE = ("Ingress", "HTTPRoute", "PodDisruptionBudget")

_TIMEOUT_SECONDS = 30.0
_FORBIDDEN, _NOT_FOUND, _CONFLICT, _INVALID = 403, 404, 409, 422
#: Asked again, the apiserver would answer the same: the object is invalid, or a quota or policy does not admit it.
_REFUSALS = (400, 403, 422)
#: How much is told of what the apiserver said: it repeats whole specs.
_LONGEST = 1000


class ClusterError(OperatorError):
    """The apiserver answered with an error. ``status`` is its HTTP status; 0 when it did not answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__("APIServerError", message)
        self.status = status

    @property
    def withheld(self) -> bool:
        """Whether what was asked for is not there or not shown to the operator; the apiserver itself is well."""
        return self.status in (_FORBIDDEN, _NOT_FOUND)


class Refused(ClusterError, Broken):
    """The apiserver does not admit an object. Only a person can change that."""

    def __init__(self, error: ClusterError, kind: str, name: str) -> None:
        said = error.message if len(error.message) <= _LONGEST else f"{error.message[:_LONGEST]}…"
        super().__init__(
            error.status,
            f"the apiserver refuses {kind} {name}; correct what it names in the spec, or the quota or policy that it "
            f"names: {said}",
        )
        self.reason = "Refused"


class Cluster:
    """One connection pool to one apiserver."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    @classmethod
    @asynccontextmanager
    async def connect(cls) -> AsyncIterator[Cluster]:
        """Connect as ``KUBECONFIG`` says, or as the pod's ServiceAccount when that is not set."""
        configuration = client.Configuration()
        in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
        if in_cluster:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        async with client.ApiClient(configuration) as api:
            api.user_agent = f"memsys-operator/{__version__}"
            yield cls(api)

    # -- reading ------------------------------------------------------------------------------------------------

    async def systems(self, namespace: str | None) -> list[Manifest]:
        """All MemorySystems of a namespace; of the whole cluster for None."""
        prefix, plural = KINDS[names.KIND]
        path = f"{prefix}/{plural}" if namespace is None else _path(names.KIND, namespace)
        items: list[Manifest] = (await self._request("GET", path))["items"]
        return items

    async def system(self, ref: Ref) -> Manifest | None:
        return await self._get(names.KIND, ref.namespace, ref.name)

    async def observe(self, ref: Ref, references: Iterable[str] = ()) -> Observed:
        """Everything labelled as belonging to the system, what it must not lose (Secrets and claims) by name even
        without the label, and the referenced Secrets."""
        routes, listed = await asyncio.gather(
            self._http_routes(ref), asyncio.gather(*(self._list(kind, ref) for kind in CHILD_KINDS))
        )
        everything = [*(routes or []), *(item for items in listed for item in items)]
        objects = {key_of(item): item for item in everything if item["kind"] != "Pod"}
        pods = tuple(item for item in everything if item["kind"] == "Pod")
        precious: list[Key] = [
            *(("Secret", name) for name in names.kept_secrets(ref.name)),
            *(("PersistentVolumeClaim", name) for name in names.kept_claims(ref.name)),
        ]
        unseen = [key for key in precious if key not in objects]
        wanted = sorted(set(references))
        found = await asyncio.gather(
            *(self._get(kind, ref.namespace, name) for kind, name in unseen),
            *(self._get("Secret", ref.namespace, name) for name in wanted),
        )
        objects |= {key: obj for key, obj in zip(unseen, found, strict=False) if obj is not None}
        references = dict(zip(wanted, found[len(unseen) :], strict=True))
        return Observed(objects, pods, references, http_routes=routes is not None)

    async def memory_keys(self, ref: Ref) -> list[Manifest]:
        """The MemoryKeys beside a system that name it, those aside that are being deleted."""
        answer = await self._request("GET", _path(names.KEY_KIND, ref.namespace))
        return [
            item
            for item in answer["items"]
            if item["spec"]["systemRef"]["name"] == ref.name and not item["metadata"].get("deletionTimestamp")
        ]

    async def secret(self, namespace: str, name: str) -> Manifest | None:
        return await self._get("Secret", namespace, name)

    async def gateway(self, namespace: str, name: str) -> Manifest | None:
        """A Gateway; None when there is none of that name, or no Gateway API."""
        return await self._get_path(
            f"/apis/gateway.networking.k8s.io/v1/namespaces/{segment(namespace)}/gateways/{segment(name)}"
        )

    async def ingress_class(self, name: str) -> bool | None:
        """Whether there is an IngressClass of that name; None where the operator may not look."""
        try:
            return await self._get_path(f"/apis/networking.k8s.io/v1/ingressclasses/{name}") is not None
        except ClusterError as error:
            if error.status == _FORBIDDEN:
                return None
            raise

    async def expandable(self, storage_classes: Iterable[str]) -> frozenset[str]:
        """Those StorageClasses that let their volumes grow."""
        wanted = sorted({name for name in storage_classes if name})
        folder = "/apis/storage.k8s.io/v1/storageclasses"
        found = await asyncio.gather(*(self._get_path(f"{folder}/{segment(name)}") for name in wanted))
        return frozenset(n for n, sc in zip(wanted, found, strict=True) if sc and sc.get("allowVolumeExpansion"))

    # -- writing ------------------------------------------------------------------------------------------------

    async def execute(self, namespace: str, action: Action) -> None:
        """Carry out one action.

        Raises :class:`Rejected` when the name is taken by an object of somebody else's, :class:`Waiting` when
        another writer was quicker, :class:`Refused` when the apiserver does not admit the object,
        :class:`ClusterError` for every other failure.
        """
        with _naming(action):
            if isinstance(action, Create):
                await self._create(namespace, action.manifest)
            elif isinstance(action, Apply):
                await self._apply(namespace, action)
            elif isinstance(action, Release):
                await self._release(namespace, action)
            else:
                await self._delete(namespace, action)

    async def rehearse(self, namespace: str, action: Apply) -> None:
        """Ask whether an action would be carried out, and change nothing. Raises as :meth:`execute` does."""
        with _naming(action):
            await self._apply(namespace, action, dry_run=True)

    async def _delete(self, namespace: str, action: Delete) -> None:
        kind, name = action.key
        body = {"preconditions": {"uid": action.uid}, "propagationPolicy": "Background"}
        try:
            await self._request("DELETE", _path(kind, namespace, name), body=body, kind=kind)
        except ClusterError as error:
            if error.status not in (_NOT_FOUND, _CONFLICT):
                raise

    async def _create(self, namespace: str, manifest: Manifest) -> None:
        kind = manifest["kind"]
        query = {"fieldManager": names.FIELD_MANAGER}
        try:
            await self._request("POST", _path(kind, namespace), body=manifest, query=query, kind=kind)
        except ClusterError as error:
            if error.status == _CONFLICT:
                raise Waiting("Conflict", f"{kind} {manifest['metadata']['name']} appeared meanwhile") from error
            raise

    async def _apply(self, namespace: str, action: Apply, *, dry_run: bool = False) -> None:
        kind, name = key_of(action.manifest)
        if action.new:
            existing = await self._get(kind, namespace, name)
            # One of ours that lost its labels still carries the hash.
            if existing and names.APPLIED_ANNOTATION not in (existing["metadata"].get("annotations") or {}):
                said = (
                    f"{kind} {name} already exists in namespace {namespace} and does not belong to this system; delete "
                    "or rename that object"
                )
                if kind not in _BESIDE:
                    said = f"metadata.name: {said}, or give the system another name"
                raise Rejected(said, reason="NameTaken")
        query = {"fieldManager": names.FIELD_MANAGER, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
        path = _path(kind, namespace, name)
        try:
            await self._request("PATCH", path, body=action.manifest, query=query, kind=kind)
        except ClusterError as error:
            if error.status != _INVALID or action.new or not await self._take_over(namespace, action.manifest):
                raise
            await self._request("PATCH", path, body=action.manifest, query=query, kind=kind)

    async def _take_over(self, namespace: str, manifest: Manifest) -> bool:
        """Make ours what others put into the spec of an object, where that alone keeps ours from being valid: a port
        that was moved by hand has the name of ours, a budget cannot have both limits. Whether anything was to take."""
        kind, name = key_of(manifest)
        if kind not in PRUNED_KINDS:
            return False
        try:
            body, query = fields.anew(manifest), {"dryRun": "All"}
            await self._request("POST", _path(kind, namespace), body=body, query=query, kind=kind)
        except ClusterError:
            return False  # the spec is at fault, or nothing more is admitted
        existing = await self._get(kind, namespace, name)
        account = fields.taken_over(existing) if existing is not None else None
        if account is not None:
            path, content = _path(kind, namespace, name), "application/merge-patch+json"
            await self._request("PATCH", path, body={"metadata": account}, content=content, kind=kind)
        return account is not None

    async def _release(self, namespace: str, action: Release) -> None:
        kind, name = action.key
        owners = [{"$patch": "delete", "uid": uid} for uid in action.owners]
        # The uid is a precondition: an object made anew meanwhile has owners of its own.
        body = {"metadata": {"uid": action.uid, "ownerReferences": owners}}
        query = {"fieldManager": names.FIELD_MANAGER}
        content = "application/strategic-merge-patch+json"
        path = _path(kind, namespace, name)
        try:
            await self._request("PATCH", path, body=body, query=query, content=content, kind=kind)
        except ClusterError as error:
            if error.status not in (_NOT_FOUND, _CONFLICT):
                raise

    async def write_status(self, ref: Ref, status: Manifest) -> None:
        """Replace what this operator says in a system's ``status``; there is no other writer."""
        await self._write_status(names.KIND, ref, status)

    async def write_key_status(self, ref: Ref, status: Manifest) -> None:
        """The same for a MemoryKey. One that has gone meanwhile needs none."""
        try:
            await self._write_status(names.KEY_KIND, ref, status)
        except ClusterError as error:
            if error.status != _NOT_FOUND:
                raise

    async def _write_status(self, kind: str, ref: Ref, status: Manifest) -> None:
        body = {
            "apiVersion": names.API_VERSION,
            "kind": kind,
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "status": status,
        }
        query = {"fieldManager": names.FIELD_MANAGER, "force": "true"}
        await self._request(
            "PATCH", f"{_path(kind, ref.namespace, ref.name)}/status", body=body, query=query, kind=kind
        )

    async def drop_annotation(self, ref: Ref, annotation: str) -> None:
        body = {"metadata": {"annotations": {annotation: None}}}
        path = _path(names.KIND, ref.namespace, ref.name)
        await self._request("PATCH", path, body=body, content="application/merge-patch+json", kind=names.KIND)

    async def post_event(self, regarding: Manifest, kind: str, reason: str, note: str) -> None:
        """Record an Event (``kind``: Normal or Warning) about a MemorySystem."""
        meta = regarding["metadata"]
        now = datetime.now(UTC)
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"generateName": f"{meta['name']}-", "namespace": meta["namespace"]},
            "eventTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "type": kind,
            "reason": reason,
            "action": "Reconcile",
            "note": note[:1000],
            "reportingController": f"{names.GROUP}/operator",
            "reportingInstance": os.environ.get("HOSTNAME", names.FIELD_MANAGER)[:128],
            "regarding": {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],
            },
        }
        path = f"/apis/events.k8s.io/v1/namespaces/{segment(meta['namespace'])}/events"
        await self._request("POST", path, body=body, kind="Event")

    # -- the wire -----------------------------------------------------------------------------------------------

    async def _list(self, kind: str, ref: Ref) -> list[Manifest]:
        query = {"labelSelector": f"{names.SYSTEM_LABEL}={ref.name}"}
        answer = await self._request("GET", _path(kind, ref.namespace), query=query)
        # Items of a list name neither their kind nor their version; the list does.
        return [{"apiVersion": answer["apiVersion"], "kind": kind, **item} for item in answer["items"]]

    async def _http_routes(self, ref: Ref) -> list[Manifest] | None:
        """The HTTPRoutes of the system; None where the Gateway API is not installed."""
        try:
            return await self._list("HTTPRoute", ref)
        except ClusterError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def _get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        return await self._get_path(_path(kind, namespace, name))

    async def _get_path(self, path: str) -> Manifest | None:
        try:
            return await self._request("GET", path)
        except ClusterError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: Manifest | None = None,
        query: dict[str, str] | None = None,
        content: str = "application/apply-patch+yaml",
        kind: str = "",
    ) -> Manifest:
        headers = {"Accept": "application/json"}
        headers["Content-Type"] = content if method == "PATCH" else "application/json"
        target = f"{path}?{urlencode(query)}" if query else path
        request = await self._api.param_serialize(
            method, target, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        try:
            answer = await self._api.call_api(*request, _request_timeout=_TIMEOUT_SECONDS)
            if not 200 <= answer.status <= 299:
                raise ClusterError(answer.status, await _refusal(method, path, answer.response))
            result: Manifest = await answer.response.json()
        except (aiohttp.ClientError, TimeoutError, ApiException) as error:
            raise ClusterError(0, f"{method} {path}: the apiserver does not answer: {error!r}") from error
        if method != "GET" and "dryRun" not in (query or {}):
            metrics.API_WRITES.labels(method.lower(), kind).inc()
        return result


@contextmanager
def _naming(action: Action) -> Iterator[None]:
    """Have a refusal name the object that the action is about."""
    try:
        yield
    except ClusterError as error:
        if error.status not in _REFUSALS:
            raise
        raise Refused(error, *target(action)) from error


async def _refusal(method: str, path: str, response: aiohttp.ClientResponse) -> str:
    try:
        said = (await response.json(content_type=None)).get("message", "")
    except (ValueError, AttributeError):
        said = await response.text()
    return f"{method} {path}: {response.status} {said}"


def _path(kind: str, namespace: str, name: str | None = None) -> str:
    prefix, plural = KINDS[kind]
    path = f"{prefix}/namespaces/{segment(namespace)}/{plural}"
    return path if name is None else f"{path}/{segment(name)}"
