"""What a swap does before it asks for its locks: whatever can be done while nobody waits.

The backlog is applied until it is small, autovacuums are sent off, and sessions are looked for whose snapshot is older than the
swap. Each is looked at again under the locks, or costs the attempt no more than giving way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from ..apply import Applier, backlog_size
from ..apply.places import hypertable_of
from ..db import (
    Blocker,
    autovacuum_at_work,
    autovacuum_sent_off,
    cancel_autovacuum,
    fetch_value,
    snapshot_holders_of,
)
from ..db.connection import Connection
from ..errors import Failed
from ..ledger.flow import Flow
from ..verify import excused_by_others
from . import block
from .swap import on_every_chunk, others

EXCUSED_UNDER_LOCK = 300
"""So many pairs that an interrupted verification excused are looked at under the locks; where there are more, the proof is void,
and one anew forgets them: 50,000 took 0.6 s."""
SMALL_BACKLOG = 200
DRAIN_SECONDS = 60.0
PATIENCE = 5
"""So many rounds without progress, and the backlog is as small as it gets."""
NEARLY_EMPTY = 10
LAST_SECONDS = 5.0
"""So long the backlog is applied again and again when all is prepared, until a round finds no more than NEARLY_EMPTY, or about as
few as any round when they become no fewer."""
LOOK_SECONDS = 0.5
"""So long a moment is looked for, before the locks, in which nobody holds a snapshot from before the swap."""
_PLANNED_CHUNKS = (
    "SELECT CASE WHEN current_setting('timescaledb.enable_hypertable_expansion_for_dml', true) = 'on' THEN 0 "
    "ELSE (SELECT count(*) FROM pg_inherits WHERE inhparent = %s) END"
)


@contextmanager
def without_autovacuum(connect: Callable[[], Connection], conn: Connection, flow: Flow) -> Iterator[None]:
    """Sends autovacuums off the tables that the swap locks. Where it locks every chunk, a worker that is cancelled must not go on
    with the next of them: another session of ours holds them all until the block's end, which stops no writer and no reader, and
    workers pass over what they cannot have."""
    hypertable, plain = hypertable_of(flow), flow.passive if flow.active.hypertable else flow.active
    cancel_autovacuum(conn, plain.name, *others(flow.rollout.plan.inspection))
    chunks = on_every_chunk(flow)
    cancel_autovacuum(conn, hypertable.name, chunks=not chunks)
    if not chunks or not autovacuum_at_work(conn, hypertable.name):
        yield
        return
    with closing(connect()) as guard, autovacuum_sent_off(guard, hypertable.oid):
        yield


def pause(seconds: float, should_stop: Callable[[], None]) -> None:
    """Sleeps, and looks now and then whether to stop."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        should_stop()
        time.sleep(min(left, 0.2))


def drain(
    conn: Connection, flow: Flow, applier: Applier, say: Callable[[str], None] = lambda text: None
) -> None:
    """Applies the backlog without any lock that matters until it is small; or, while writers go on, as small as it gets.

    Raises Failed where even that is more than may be applied under the lock.
    """
    started = time.monotonic()
    smallest: int | None = None
    stale = 0
    while True:
        applier.drain(pending_batches=False, at_most_seconds=DRAIN_SECONDS)
        left = backlog_size(conn, flow)
        if left <= SMALL_BACKLOG:
            return
        stale = 0 if smallest is None or left < smallest else stale + 1
        smallest = left if smallest is None else min(left, smallest)
        seconds = time.monotonic() - started
        if left <= block.MAX_UNDER_LOCK // 2 and (stale >= PATIENCE or seconds > DRAIN_SECONDS):
            say(f"writers keep the backlog at about {left} changes; going on with that")
            return
        if seconds > DRAIN_SECONDS and stale >= PATIENCE:
            raise Failed(
                "The backlog does not become small: changes come about as fast as they are applied.",
                facts={"backlog": left, "seconds": f"{seconds:.0f}"},
                remedy="swap at a quieter time, or slow the writers down; nothing was changed.",
            )


def older_snapshots(conn: Connection, should_stop: Callable[[], None]) -> list[Blocker]:
    """Who holds a snapshot from before the swap all the time; none where a moment is found in which nobody is seen who does. The
    swap looks again as its last act; looked for here, nobody waits behind the locks of an attempt that could not succeed, and one
    that is found here is not hidden there by beginning to wait itself."""
    end = time.monotonic() + LOOK_SECONDS
    while holders := snapshot_holders_of(conn):
        if time.monotonic() > end:
            return holders
        pause(0.01, should_stop)
    return []


def drain_again(applier: Applier) -> None:
    """The last thing before the locks: what was written during the preparations is applied, so that only the changes of a few
    milliseconds are left to the time under the locks, each of which may need a chunk of its own there."""
    started = time.monotonic()
    smallest: int | None = None
    stale = 0
    while True:
        changes = 0
        while not (one := applier.apply_slice(pending_batches=False)).empty:
            changes += one.changes
        changes += one.changes
        if changes <= NEARLY_EMPTY or time.monotonic() - started > LAST_SECONDS:
            return
        stale = 0 if smallest is None or changes < smallest else stale + 1
        smallest = changes if smallest is None else min(changes, smallest)
        if stale >= PATIENCE and changes <= smallest * 3 // 2:
            return


def planned_chunks(conn: Connection, flow: Flow) -> int:
    """Over how many chunks a DELETE of some times is planned: TimescaleDB 2.29 leaves out those that cannot have them."""
    return int(fetch_value(conn, _PLANNED_CHUNKS, [hypertable_of(flow).oid]))


def too_many_excused(conn: Connection, flow: Flow, verification: int) -> str | None:
    """Why the proof is void where another verification that did not come to its end excused so many pairs that to look at them
    under the locks takes too long. That they differ is possible, so they are not passed over: a proof anew compares them too."""
    pairs = excused_by_others(conn, flow, verification)
    if pairs <= EXCUSED_UNDER_LOCK:
        return None
    return f"a verification that was interrupted left {pairs:,} pairs to be looked at under the locks"
