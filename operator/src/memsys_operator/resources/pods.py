"""What all pods of a system have in common: the restricted security settings, volumes, probes. Pure.

Some fields are stated although they are empty or false: an apply takes back only what it states, and what others put
there would change what runs, where, or who is reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memsys_operator import names
from memsys_operator.observed import Manifest
from memsys_operator.settings import Settings
from memsys_operator.spec import Resources, System

#: uid and gid of user ``memsys`` in every image.
USER = 10001
#: Proxies learn of a pod that comes or leaves with a delay. One that leaves serves on for so long before it is asked to
#: end; one that comes must have been ready for so long before it counts and another may leave for it.
ENDPOINT_DELAY_SECONDS = 5


def metadata(system: System, name: str, part: str, *, owned: bool = True) -> Manifest:
    meta: Manifest = {
        "name": name,
        "namespace": system.namespace,
        "labels": names.labels(system.name, part),
    }
    if owned:
        meta["ownerReferences"] = [owner(system)]
    return meta


def owner(system: System) -> Manifest:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": system.name,
        "uid": system.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def env(**values: str | int) -> list[Manifest]:
    return [{"name": name, "value": str(value)} for name, value in values.items()]


def tracing(system: System) -> dict[str, str]:
    """Where a server sends its traces; nothing where the spec does not say."""
    endpoint = system.spec.tracing.otlp_endpoint
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} if endpoint is not None else {}


def empty_dir(name: str, path: str, **options: str) -> tuple[Manifest, Manifest]:
    """A scratch volume and its mount."""
    return {"name": name, "emptyDir": dict(options)}, {"name": name, "mountPath": path}


def container(
    name: str,
    image: str,
    pull_policy: str,
    *,
    ports: Mapping[str, int],
    env: Sequence[Manifest],
    mounts: Sequence[Manifest],
    resources: Resources,
    **more: Any,
) -> Manifest:
    """One container under the ``restricted`` Pod Security Standard; ``more`` takes probes and lifecycle."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": pull_policy,
        "command": [],
        "args": [],
        "ports": [{"name": n, "containerPort": p, "protocol": "TCP"} for n, p in ports.items()],
        "env": list(env),
        "volumeMounts": list(mounts),
        "resources": resources.manifest(),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": [], "drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **more,
    }


def template(
    system: System,
    settings: Settings,
    part: str,
    container: Manifest,
    volumes: Sequence[Manifest],
    *,
    checksum: str,
    grace_seconds: int,
    spread: bool = False,
) -> Manifest:
    """The pod template of one part."""
    selector = names.selector(system.name, part)
    spec: Manifest = {
        "serviceAccountName": names.component(system.name, part),
        "automountServiceAccountToken": False,
        # A Service named <system>-neo4j would otherwise put NEO4J-like variables into every pod.
        "enableServiceLinks": False,
        "hostNetwork": False,
        "hostPID": False,
        "hostIPC": False,
        "nodeSelector": {},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": grace_seconds,
        "containers": [container],
        "volumes": list(volumes),
    }
    if secrets := settings.pull_secrets(system.spec.images):
        spec["imagePullSecrets"] = secrets
    if spread:
        spec["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector},
            }
        ]
    return {
        "metadata": {
            "labels": names.labels(system.name, part),
            "annotations": {names.CHECKSUM_ANNOTATION: checksum},
        },
        "spec": spec,
    }


def http_probe(path: str, port: str, *, period: int, failures: int, timeout: int = 5) -> Manifest:
    return _probe({"httpGet": {"path": path, "port": port, "scheme": "HTTP"}}, period, failures, timeout)


def exec_probe(command: Sequence[str], *, period: int, failures: int, timeout: int = 5) -> Manifest:
    return _probe({"exec": {"command": list(command)}}, period, failures, timeout)


def _probe(action: Manifest, period: int, failures: int, timeout: int) -> Manifest:
    return {
        **action,
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": timeout,
    }


def service(
    system: System,
    name: str,
    part: str,
    ports: Mapping[str, int],
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> Manifest:
    """A ClusterIP Service whose ports go to the container ports of the same names."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _annotated(metadata(system, name, part), annotations),
        "spec": {
            "type": "ClusterIP",
            "selector": names.selector(system.name, part),
            "externalIPs": [],
            "ports": [{"name": n, "port": p, "targetPort": n, "protocol": "TCP"} for n, p in ports.items()],
            **spec,
        },
    }


def service_account(system: System, part: str, annotations: Mapping[str, str] | None = None) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _annotated(metadata(system, names.component(system.name, part), part), annotations),
        "automountServiceAccountToken": False,
    }


def _annotated(meta: Manifest, annotations: Mapping[str, str] | None) -> Manifest:
    return meta | {"annotations": dict(annotations)} if annotations else meta


def stateful_set(system: System, part: str, *, service_name: str, template: Manifest, storage: Manifest) -> Manifest:
    """A one-pod StatefulSet with one volume called ``data``.

    The volume outlives the StatefulSet (``Retain``), so that a deleted StatefulSet comes back with its data;
    ``deletionPolicy: Delete`` is an owner reference from the claim to the MemorySystem itself.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(system, names.component(system.name, part), part),
        "spec": {
            "replicas": 1,
            "serviceName": service_name,
            # Parallel: a pod that never became ready is still replaced when its template is mended.
            "podManagementPolicy": "Parallel",
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": names.selector(system.name, part)},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "template": template,
            "volumeClaimTemplates": [storage],
        },
    }


def serve_while_leaving() -> Manifest:
    """The lifecycle of a container that must not drop a request when its pod is replaced or scaled away."""
    return {"preStop": {"sleep": {"seconds": ENDPOINT_DELAY_SECONDS}}}


def deployment(system: System, part: str, *, replicas: int, template: Manifest) -> Manifest:
    """A server whose updates add a pod, and wait until it serves, before they take one away."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(system, names.component(system.name, part), part),
        "spec": {
            "replicas": replicas,
            "paused": False,
            "minReadySeconds": ENDPOINT_DELAY_SECONDS,
            "revisionHistoryLimit": 3,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": names.selector(system.name, part)},
            "template": template,
        },
    }
