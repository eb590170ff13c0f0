"""Kopf's part: watching. Every event only wakes the controller; no handler here changes an object.

``on.event`` handlers alone, since every other kind of handler (timers and daemons too) puts a finalizer or an
annotation on the object, and a finalizer outlives an operator that is uninstalled first.
"""

from __future__ import annotations

from typing import Any

import kopf

from memsys_operator import names
from memsys_operator.cluster import CHILD_KINDS, KINDS
from memsys_operator.controller import Edit
from memsys_operator.spec import Ref


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
    memo.controller.wake(Ref(str(namespace), labels[names.SYSTEM_LABEL]))


for _kind in CHILD_KINDS:
    kopf.on.event(*_resource(_kind), id=f"wake-for-{_kind.lower()}", labels={names.SYSTEM_LABEL: kopf.PRESENT})(
        wake_for_child
    )
