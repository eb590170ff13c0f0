"""Kopf's part: watching. Every event only wakes the controller; no handler here changes an object.

``on.event`` handlers alone, since every other kind of handler (timers and daemons too) puts a finalizer or an
annotation on the object, and a finalizer outlives an operator that is uninstalled first.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterator
from typing import Any

import kopf

from memsys_operator import names
from memsys_operator.cluster import CHILD_KINDS, KINDS
from memsys_operator.controller import Edit
from memsys_operator.spec import Ref

#: Of the grace period of the pod (30 s); a shutdown takes six where a connection to /metrics is left open.
_EXIT_SECONDS = 10.0
_REPEATED = re.compile(r"Request attempt #(?!1\b)\d+\b.* failed; will retry")


class Backoffs:
    """Seconds between the tries of one request to the apiserver, without end.

    Kopf gives a watch up after the last of a finite list, and stops all of the operator with it: a minute of an
    apiserver that fails, or one namespace that it may not see, would be the end. Each request begins anew, so an
    iterator would not do; that there is no length tells Kopf that there is no last try.
    """

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1, 1, 2, 3, 5, 8, 13), itertools.repeat(21))


def tells_news(record: logging.LogRecord) -> bool:
    """A filter of log records: of a request that is tried without end, only the first failure is worth a line."""
    return not (record.name.startswith("kopf.") and _REPEATED.match(record.getMessage()))


def _resource(kind: str) -> tuple[str, str, str]:
    prefix, plural = KINDS[kind]
    _, *group, version = prefix.strip("/").split("/")
    return (group[0] if group else ""), version, plural


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = Backoffs()
    # Kopf waits for its watches when it stops, and they do not always end.
    settings.process.ultimate_exiting_timeout = _EXIT_SECONDS
    for kind in CHILD_KINDS:
        settings.watching.label_selectors[_resource(kind)] = names.SYSTEM_LABEL


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    await memo.controller.stop()


@kopf.on.event(names.GROUP, names.VERSION, names.PLURAL)
async def wake_for_system(namespace: str | None, name: str | None, meta: kopf.Meta, memo: kopf.Memo, **_: Any) -> None:
    memo.controller.wake(Ref(str(namespace), str(name)), _edit(meta))


@kopf.on.event(names.GROUP, names.VERSION, names.KEY_PLURAL)
async def wake_for_key(namespace: str | None, spec: kopf.Spec, meta: kopf.Meta, memo: kopf.Memo, **_: Any) -> None:
    memo.controller.wake(Ref(str(namespace), spec["systemRef"]["name"]), _edit(meta))


def _edit(meta: kopf.Meta) -> Edit:
    return Edit(meta["uid"], meta["generation"])


async def wake_for_child(namespace: str | None, labels: kopf.Labels, memo: kopf.Memo, **_: Any) -> None:
    if system := labels[names.SYSTEM_LABEL]:  # anybody may leave the label empty
        memo.controller.wake(Ref(str(namespace), system))


for _kind in CHILD_KINDS:
    kopf.on.event(*_resource(_kind), id=f"wake-for-{_kind.lower()}", labels={names.SYSTEM_LABEL: kopf.PRESENT})(
        wake_for_child
    )
