"""The shadow's other indexes, built after the load: chunk by chunk where the root then takes these for its own, else side by
side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

from ..copy import chunk_indexes, indexes, shadow
from ..db import yield_and_retry
from ..db.connection import Connection
from ..ledger.flow import Flow, flow_of
from ..model.rollout import Direction, Rollout
from ..model.statement import Statement
from .monitor import Monitor
from .warming import Warming
from .workers import Connect, Worker, run_workers

Group = tuple[str, Sequence[Statement]]


class _Builders:
    """Workers that share the groups; each builds one index after the other on a connection of its own."""

    def __init__(self, groups: Sequence[Group], flow: Flow, monitor: Monitor, beside: int) -> None:
        self.flow, self.monitor, self.beside = flow, monitor, beside
        self.built = 0
        self._todo = iter(groups)
        self._lock = threading.Lock()

    def body(self) -> Callable[[Connection], None]:
        """The body of one worker. A group that a lost connection interrupted is taken up again by the same worker."""
        mine: Group | None = None

        def build(conn: Connection) -> None:
            nonlocal mine
            while True:
                with self._lock:
                    mine = mine or next(self._todo, None)
                if mine is None:
                    return
                with self.monitor.turn():
                    done = indexes.run_missing(
                        conn,
                        *mine,
                        self.flow.passive,
                        self.monitor.should_stop,
                        self.monitor.helpers(self.beside),
                        self.flow,
                    )
                mine = None
                with self._lock:
                    self.built += done

        return build


def _build_chunks(connect: Connect, flow: Flow, monitor: Monitor, tick: Callable[[], None]) -> None:
    warming = Warming(flow, monitor)
    run_workers(
        [Worker(f"chunk index {n}", connect, monitor, warming.rest) for n in range(1, flow.rollout.plan.workers + 1)],
        monitor,
        tick,
    )


def build_indexes(
    conn: Connection, connect: Connect, rollout: Rollout, monitor: Monitor, tick: Callable[[], None]
) -> int:
    """Builds what is missing, calling `tick` meanwhile; returns how many were built.

    Where the version and our rights allow it, first on the chunks that lack them, all of a chunk's one after the other, so that
    its rows are read from the disk once. As many at once as there are copying workers. An index that the table says something
    of (clustered by it, replica identity) or that has a comment or statistics of its own takes a stronger lock for that, and is
    built when the others are done.
    """
    flow = flow_of(rollout, Direction.FORWARD)
    side = flow.passive
    groups = shadow.index_groups(rollout.plan, rollout.names.shadow)
    missing = [(name, group) for name, group in groups if not indexes.exists(conn, name, side)]
    alone = [(name, group) for name, group in missing if len(group) > 1]
    beside = [(name, group) for name, group in missing if len(group) == 1]
    if beside and chunk_indexes.may_build(conn, flow):
        _build_chunks(connect, flow, monitor, tick)
    if beside:
        drop_partial = partial(chunk_indexes.drop_partial, conn, flow, [name for name, _ in beside])
        what = f"drop indexes that some chunks of {side.name} have"
        yield_and_retry(conn, what, [side.name], drop_partial, chunks=True, should_stop=monitor.should_stop)
    number = min(rollout.plan.workers, len(beside))
    builders = _Builders(beside, flow, monitor, number)
    workers = [Worker(f"index {n}", connect, monitor, builders.body()) for n in range(1, number + 1)]
    if workers:
        run_workers(workers, monitor, tick)
    built = builders.built
    for name, group in alone:
        with monitor.turn():
            built += indexes.run_missing(conn, name, group, side, monitor.should_stop, monitor.helpers(1))
    return built
