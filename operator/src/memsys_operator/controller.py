"""Who is reconciled when: one worker per system, woken by events, by the resync of all systems, and by itself.

One system is never in two passes at once; all systems together are in at most ``workers`` passes. A pass that
fails is tried again after a growing, jittered wait, or when somebody edits what it is about.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from memsys_operator import metrics
from memsys_operator.api_client import MemoryAPI
from memsys_operator.cluster import Cluster, ClusterError
from memsys_operator.errors import OperatorError
from memsys_operator.observed import Manifest
from memsys_operator.reconcile import GraphTarget, Outcome, Reconciler
from memsys_operator.settings import Settings
from memsys_operator.spec import Ref
from memsys_operator.sync import SyncReport, Walk

logger = logging.getLogger(__name__)

#: Events come in bursts; one pass answers a burst.
_COALESCE_SECONDS = 0.1
#: A look at what a change has led to, should no event tell.
_AGAIN_SECONDS = 2.0
_PASS_TIMEOUT_SECONDS = 120.0
#: So many passes in a row may change something before the operator suspects that somebody changes it back.
_PATIENCE = 10
_LONGEST_BACKOFF_SECONDS = 60.0


class Edit(NamedTuple):
    """Which spec of which object: the generation grows with every change of the spec, and not with the status."""

    uid: str
    generation: int


@dataclass(slots=True)
class _State:
    due: asyncio.Event = field(default_factory=asyncio.Event)
    edited: asyncio.Event = field(default_factory=asyncio.Event)
    generations: dict[str, int] = field(default_factory=dict)
    worker: asyncio.Task[None] | None = None
    target: GraphTarget | None = None
    watcher: asyncio.Task[None] | None = None
    sync: SyncReport | None = None


class Controller:
    def __init__(self, cluster: Cluster, reconciler: Reconciler, api: MemoryAPI, settings: Settings) -> None:
        self._cluster = cluster
        self._reconciler = reconciler
        self._api = api
        self._settings = settings
        self._states: dict[Ref, _State] = {}
        self._slots = asyncio.Semaphore(settings.workers)
        self._skipped: dict[str, str] = {}
        self._resynced = 0.0
        self._allowed = 3 * settings.resync_seconds + 30
        metrics.RESYNC_ALLOWED.set(self._allowed)
        self._resync_loop: asyncio.Task[None] | None = None
        self._stopped = False

    def wake(self, ref: Ref, edit: Edit | None = None) -> None:
        """Have a system looked at soon; cheap, may be called for any event.

        ``edit`` is of the system or of a key of it: where its spec is a new one, what failed before puts nothing off.
        """
        if self._stopped:
            return
        state = self._states.get(ref)
        if state is None:
            state = self._states[ref] = _State()
            state.worker = asyncio.create_task(self._work(ref, state), name=f"reconcile {ref}")
        if edit is not None and state.generations.get(edit.uid) != edit.generation:
            state.generations[edit.uid] = edit.generation
            state.edited.set()
        state.due.set()

    async def run(self) -> None:
        """Resync all systems again and again, until cancelled or stopped."""
        self._resync_loop = asyncio.current_task()
        while True:
            try:
                await self._resync()
            except OperatorError as error:
                logger.warning("resync: %s; next try in %g s", error, self._settings.resync_seconds)
            await asyncio.sleep(self._settings.resync_seconds * random.uniform(0.9, 1.1))  # noqa: S311 - jitter

    async def stop(self) -> None:
        """End the resync, and all passes where they stand: each can be interrupted and run again."""
        self._stopped = True
        tasks = [task for state in self._states.values() for task in (state.worker, state.watcher)]
        running = [task for task in (self._resync_loop, *tasks) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _resync(self) -> None:
        found = await self._list()
        refs = {Ref(obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in found}
        for ref in [ref for ref in self._states if ref.namespace in self._skipped]:
            self._leave(ref)
        for ref in refs | set(self._states):
            self.wake(ref)
        self._resynced = time.monotonic()
        metrics.RESYNCED.set_to_current_time()
        metrics.SYSTEMS.set(len(refs))

    async def _list(self) -> list[Manifest]:
        """All systems. A namespace that has been deleted, or that the operator may not look into, is passed over while
        another can be listed; raises :class:`ClusterError` when none can."""
        if not self._settings.watch_namespaces:
            return await self._cluster.systems(None)
        answers = await asyncio.gather(*(self._list_one(namespace) for namespace in self._settings.watch_namespaces))
        found = dict(zip(self._settings.watch_namespaces, answers, strict=True))
        withheld = {namespace: answer for namespace, answer in found.items() if isinstance(answer, ClusterError)}
        self._tell_skipped({namespace: str(error) for namespace, error in withheld.items()})
        if len(withheld) == len(found):
            raise next(iter(withheld.values()))
        return [obj for answer in answers if not isinstance(answer, ClusterError) for obj in answer]

    async def _list_one(self, namespace: str) -> list[Manifest] | ClusterError:
        try:
            return await self._cluster.systems(namespace)
        except ClusterError as error:
            if error.withheld:
                return error
            raise

    def _tell_skipped(self, skipped: dict[str, str]) -> None:
        """Log what is new of the namespaces that are passed over, each with the reason."""
        for namespace in skipped:
            if self._skipped.get(namespace) != skipped[namespace]:
                logger.warning("namespace %s is passed over: %s", namespace, skipped[namespace])
        for namespace in self._skipped.keys() - skipped.keys():
            logger.info("namespace %s is listed again", namespace)
        self._skipped = skipped
        metrics.SKIPPED.set(len(skipped))

    def trouble(self) -> str | None:
        """Why the operator is not doing its work; None while it does."""
        if not self._resynced:
            return "no resync has succeeded yet: the systems could not be listed"
        late = time.monotonic() - self._resynced
        if late <= self._allowed:
            return None
        return f"the last resync was {late:.0f} s ago, expected every {self._allowed:.0f} s"

    def stuck(self) -> str | None:
        """Why the process should be replaced; None while there is hope. An apiserver that is away is none."""
        if self._stopped:
            return "the controller has been stopped, and nothing starts it again"
        dead = [str(ref) for ref, state in self._states.items() if state.worker is None or state.worker.done()]
        return f"the workers of {', '.join(sorted(dead))} have ended" if dead else None

    async def _work(self, ref: Ref, state: _State) -> None:
        failures = changes = 0
        while True:
            await state.due.wait()
            await asyncio.sleep(_COALESCE_SECONDS)
            state.due.clear()
            state.edited.clear()
            try:
                outcome = await self._pass(ref, state)
            except Exception as error:
                failures += 1
                await self._put_off(ref, state, error, failures)
                continue
            self._watch_graph(ref, state, outcome.graph, outcome.walk)
            if outcome.graphless:
                state.sync = None
            if outcome.failure is not None:
                failures += 1
                await self._put_off(ref, state, outcome.failure, failures)
                continue
            failures = 0
            if outcome.gone:
                if state.due.is_set():
                    continue  # a system of the same name may have come meanwhile
                self._forget(ref, state)
                logger.info("%s: gone", ref)
                return
            changes = changes + 1 if outcome.again else 0
            if changes > _PATIENCE:
                wait = _backoff(changes - _PATIENCE)
                logger.warning("%s: %d passes in a row had to change something; is another controller changing it "
                               "back? Next look in %.1f s", ref, changes, wait)  # fmt: skip
                await asyncio.sleep(wait)
            if outcome.again:
                asyncio.get_running_loop().call_later(_AGAIN_SECONDS, state.due.set)

    async def _put_off(self, ref: Ref, state: _State, error: Exception, failures: int) -> None:
        wait = _backoff(failures)
        if isinstance(error, OperatorError):
            logger.warning("%s: %s; next try in %.1f s", ref, error, wait)
        else:
            logger.error("%s: the pass failed; next try in %.1f s", ref, wait, exc_info=error)
        with suppress(TimeoutError):
            await asyncio.wait_for(state.edited.wait(), wait)
        state.due.set()

    async def _pass(self, ref: Ref, state: _State) -> Outcome:
        result = "error"
        try:
            async with self._slots, asyncio.timeout(_PASS_TIMEOUT_SECONDS):
                with metrics.RECONCILE_SECONDS.time():
                    outcome = await self._reconciler.run(ref, state.sync)
            if outcome.failure is None:
                result = "gone" if outcome.gone else "changed" if outcome.again else "unchanged"
        finally:
            metrics.RECONCILES.labels(result).inc()
        return outcome

    def _leave(self, ref: Ref) -> None:
        """Have nothing more to do with a system of a namespace that is passed over: each pass would fail."""
        worker = self._states[ref].worker
        if worker is not None:
            worker.cancel()
        self._forget(ref, self._states[ref])
        logger.info("%s: left alone while its namespace is passed over", ref)

    def _forget(self, ref: Ref, state: _State) -> None:
        if state.watcher is not None:
            state.watcher.cancel()
        del self._states[ref]
        metrics.forget(ref.namespace, ref.name)

    def _watch_graph(self, ref: Ref, state: _State, target: GraphTarget | None, walk: Walk) -> None:
        """Start, change or stop the regular look at a system's graph."""
        if target == state.target and (target is None or (state.watcher is not None and not state.watcher.done())):
            return
        if state.watcher is not None:
            state.watcher.cancel()
        state.target = target
        state.watcher = None
        if target is not None:
            state.watcher = asyncio.create_task(self._check_graph(ref, state, target, walk), name=f"graph of {ref}")

    async def _check_graph(self, ref: Ref, state: _State, target: GraphTarget, walk: Walk) -> None:
        """Look again and again; ``walk`` is where the comparison goes on that an earlier process began."""
        while True:
            if state.sync is not None:
                walk = state.sync.walk
            report = await self._api.check_graph(
                target.url,
                target.admin_key,
                state.sync,
                walk,
                now=int(time.time()),
                interval=target.drift_interval_seconds,
            )
            if report != state.sync:
                state.sync = report
                state.due.set()
            await asyncio.sleep(target.interval_seconds * random.uniform(0.9, 1.1))  # noqa: S311 - jitter


def _backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row, jittered."""
    return min(_LONGEST_BACKOFF_SECONDS, 2.0 ** min(failures, 10)) * random.uniform(0.5, 1)  # noqa: S311 - jitter
