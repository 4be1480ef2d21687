"""Blue/green, step by step. Each step looks at the ledger (or the world) first, so that it can be run again after a crash."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from psycopg import sql

from ..apply import Applier, quarantine_size, requeue_quarantined, tidy_log
from ..capture import install_forward, install_reverse
from ..catalog import fingerprint, refuse_overloads
from ..copy import shadow
from ..copy.batches import Cuts, cut, record_batches
from ..copy.chunks import make_chunks
from ..copy.whole_index import rows_that_it_lacks
from ..cutover import dropped
from ..db import LockMode, again_after_deadlock, execute, fetch_value, patient_read, yield_and_retry
from ..db.connection import Connection
from ..errors import Refused, SchemaChanged
from ..ledger import objects, store
from ..ledger.flow import Flow, Side, flow_of
from ..ledger.objects import range_fields
from ..ledger.rights import Kind, owner_alone
from ..ledger.transaction import expect, lock_statement
from ..model.names import quote_ident
from ..model.report import VerifyReport
from ..model.rollout import Direction, Phase, Rollout
from ..verify import verify
from .analyzing import analyze
from .building import build_indexes
from .compressing import Compressing, told
from .copying import copy as copy
from .copying import pending as _pending
from .monitor import Monitor, telling
from .throttling import sharing
from .workers import Connect

CATCHING_UP_SECONDS = 60.0
"""How often it is said that catching up goes on."""


def prepare(conn: Connection, rollout: Rollout, monitor: Monitor) -> Rollout:
    """`planned` -> `prepared`: the shadow, the rollout's own tables, and capture on the source."""
    if rollout.hypertable_oid is None:
        rollout = yield_and_retry(
            conn,
            "build the shadow",
            [rollout.table],
            partial(_build_shadow, conn, rollout),
            should_stop=monitor.should_stop,
            on_failure=telling(monitor, "building the shadow"),
        )
        monitor.say(f"shadow hypertable {rollout.names.shadow} built, with its keys")
    flow = flow_of(rollout, Direction.FORWARD)
    _refuse_null_times(conn, rollout)
    moved: list[Rollout] = []

    def record() -> None:
        # Under the lock that stops every writer and every ALTER TABLE: the shadow was built from what the plan saw.
        if fingerprint(conn, rollout.source_oid) != rollout.plan.fingerprint:
            raise SchemaChanged(
                f"{rollout.table} was changed since its plan was made.",
                facts={"rollout": rollout.id},
                remedy="end this rollout with `hyperferry abort` and start anew with a new plan.",
            )
        moved.append(store.set_phase(conn, rollout, Phase.PREPARED))

    install_forward(
        conn,
        flow,
        record,
        should_stop=monitor.should_stop,
        on_failure=telling(monitor, "starting capture"),
    )
    monitor.say(f"every write on {rollout.table} is captured from now on")
    return moved[-1]


def _build_shadow(conn: Connection, rollout: Rollout) -> Rollout:
    """One transaction. What its statements read of the source they read under the lock that came first."""
    with conn.transaction():
        execute(
            conn,
            sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(
                sql.Identifier(rollout.table.schema, rollout.table.name)
            ),
        )
        execute(conn, "SET LOCAL lock_timeout = '50ms'")  # TimescaleDB's catalogs, for a moment
        return _shadow_of(conn, rollout)


def _shadow_of(conn: Connection, rollout: Rollout) -> Rollout:
    plan, names = rollout.plan, rollout.names
    refuse_overloads(conn)
    for statement in shadow.shadow_statements(plan, names):
        execute(conn, statement.sql)
    for statement in shadow.key_statements(plan, names):
        execute(conn, statement.sql)
    for statement in shadow.compression_statements(plan, names):
        execute(conn, statement.sql)
    execute(
        conn,
        sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(
            sql.Identifier(names.old_schema), sql.Identifier(plan.inspection.table.owner)
        ),
    )
    execute(conn, owner_alone(Kind.SCHEMA, quote_ident(names.old_schema)).sql)
    oid = int(fetch_value(conn, "SELECT to_regclass(%s)::oid::bigint", [names.shadow.quoted]))
    rollout = store.set_hypertable(conn, rollout, oid)
    flow = flow_of(rollout, Direction.FORWARD)
    for statement in objects.create_statements(flow):
        execute(conn, statement.sql)
    expect(conn, rollout.id, flow.passive)
    store.event(conn, rollout.id, "shadow", {"oid": oid})
    return rollout


def _refuse_null_times(conn: Connection, rollout: Rollout) -> None:
    """A last look before anything is promised: NULL times cannot lie in a hypertable."""
    plan = rollout.plan
    column = plan.inspection.time
    assert column is not None
    if column.not_null or not plan.inspection.has_time_index:
        return
    statement = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} IS NULL)").format(
        sql.Identifier(rollout.table.schema, rollout.table.name), sql.Identifier(plan.time_column)
    )
    found = patient_read(conn, f"read {rollout.table}", [rollout.table], lambda: fetch_value(conn, statement))
    if found:
        raise Refused(
            f"{rollout.table} has rows whose {plan.time_column} is NULL; a hypertable cannot hold them.",
            remedy=f"give them a time or delete them, and set {plan.time_column} NOT NULL; then start again.",
        )


def _refuse_index_that_lacks_rows(conn: Connection, flow: Flow, cuts: Cuts, monitor: Monitor) -> None:
    """What the index does not give would be neither copied nor missed."""
    table, first = flow.active.name, next((field.label for field in range_fields(flow)), None)
    lacking = patient_read(conn, f"read {table}", [table], lambda: rows_that_it_lacks(conn, flow, cuts.bounds))
    if lacking is None:
        monitor.say(
            f"whether the index by {first} gives every row of {table} was not looked at: it takes too long. "
            "amcheck's bt_index_check(index, heapallindexed => true) tells"
        )
    elif lacking:
        raise Refused(
            f"{lacking:,} rows of {table} are not found by its index on {first}: it is broken.",
            facts={"rows that the index lacks": lacking, "rollout": flow.rollout.id},
            remedy=f"REINDEX TABLE CONCURRENTLY {table.quoted}; then run the same command again, which goes on from here.",
        )


def cut_batches(conn: Connection, rollout: Rollout, monitor: Monitor) -> Rollout:
    """`prepared` -> `copying`: the source is cut into batches, after capture is in place (I2)."""
    flow = flow_of(rollout, Direction.FORWARD)
    cuts = patient_read(conn, f"read {rollout.table}", [rollout.table], lambda: cut(conn, flow))
    _refuse_index_that_lacks_rows(conn, flow, cuts, monitor)
    make_chunks(conn, flow, cuts.firsts, monitor.should_stop)
    with conn.transaction():
        number = record_batches(conn, flow, cuts.bounds)
        rollout = store.set_phase(conn, rollout, Phase.COPYING)
    monitor.say(f"{number} batches to copy")
    return rollout


def complete(
    conn: Connection, connect: Connect, rollout: Rollout, monitor: Monitor, tick: Callable[[], None]
) -> None:
    """Indexes, statistics and the sleeping reverse capture: everything that can be ready before the cutover (I6)."""
    flow = flow_of(rollout, Direction.FORWARD)
    built = build_indexes(conn, connect, rollout, monitor, tick)
    if built:
        monitor.say(f"{built} indexes built")
    if built or not store.last_events(conn, rollout.id, ["analyzed"]):
        monitor.should_stop()
        started = time.monotonic()
        analyze(conn, connect, rollout, monitor, tick)
        store.event(conn, rollout.id, "analyzed", {"seconds": round(time.monotonic() - started, 3)})
    if not store.last_events(conn, rollout.id, ["reverse capture"]):
        again_after_deadlock(lambda: _reverse_capture(conn, rollout, flow.passive))


def _reverse_capture(conn: Connection, rollout: Rollout, shadow: Side) -> None:
    with conn.transaction():
        execute(conn, "SET LOCAL lock_timeout = '60s'")  # nobody but our own workers uses the shadow
        execute(conn, lock_statement(shadow, LockMode.SHARE_ROW_EXCLUSIVE))
        install_reverse(conn, flow_of(rollout, Direction.REVERSE), shadow)
        store.event(conn, rollout.id, "reverse capture")


def catch_up(conn: Connection, rollout: Rollout, monitor: Monitor, *, at_once: bool = False) -> int:
    """Applies the backlog of the present direction until it is empty once; what was quarantined is tried again first. Slowed by
    the throttle and stopped by a pause, unless `at_once`: for a swap."""
    flow = flow_of(rollout)
    requeue_quarantined(conn, flow)
    applier = Applier(conn, flow, should_stop=monitor.should_stop, say=monitor.say)
    if at_once:
        return applier.drain(pending_batches=False).changes
    changes, said = 0, time.monotonic()
    while True:
        monitor.wait_while_paused()
        begun = time.monotonic()
        applied = applier.drain(pending_batches=False, at_most_seconds=1.0)
        changes += applied.changes
        if applied.empty:
            return changes
        monitor.rest_from_applying(time.monotonic() - begun)
        if time.monotonic() - said > CATCHING_UP_SECONDS:
            said = time.monotonic()
            monitor.say(
                f"catching up: {changes:,} changes applied, and more came meanwhile; `hyperferry status` says what slows it"
            )


def compress_again(conn: Connection, rollout: Rollout, monitor: Monitor) -> None:
    """Compresses chunks that the applier made or filled anew since the copy ended (after a truncation, all of them), and the rows
    that changes left beside compressed ones, once, before the verification; and says what came of it all."""
    if rollout.plan.compression is None:
        return
    flow = flow_of(rollout, Direction.FORWARD)
    compressing = Compressing(flow, monitor)
    compressing.rest(conn)
    number = compressing.again(conn)
    if number:
        monitor.say(f"{number} chunks compressed again, to which changes were applied")
    monitor.say(str(told(conn, flow)))


class KeepInStep:
    """Applies the backlog for a while each time it is called, and goes on next time where it was: what was read of the log ahead
    is not read again."""

    def __init__(self, conn: Connection, monitor: Monitor) -> None:
        self._conn, self._monitor = conn, monitor
        self._applier: Applier | None = None

    def __call__(self, rollout: Rollout) -> bool:
        """Keeps the log small too; True when it was empty at the end."""
        monitor, applier = self._monitor, self._applier
        if applier is None or applier.flow.rollout.phase is not rollout.phase:
            applier = Applier(self._conn, flow_of(rollout), should_stop=monitor.should_stop, say=monitor.say)
            self._applier = applier
        applied = applier.drain(pending_batches=False, at_most_seconds=1.0)
        tidy_log(self._conn, applier.flow)
        return applied.empty


def prove(
    conn: Connection,
    connect: Connect,
    rollout: Rollout,
    monitor: Monitor,
    *,
    by: str | None = None,
    repair: bool = False,
) -> VerifyReport:
    """Verifies the present direction, applying the backlog where excused pairs wait for it."""
    flow = flow_of(rollout)
    pending = flow.direction is Direction.FORWARD and _pending(conn, flow)

    def applier() -> Applier:
        return Applier(conn, flow, should_stop=monitor.should_stop, say=monitor.say)

    def apply_backlog() -> None:
        applier().drain(pending_batches=pending)

    if quarantine_size(conn, flow):
        apply_backlog()  # what is tried once more may succeed by now
    reverse = flow.direction is Direction.REVERSE
    if not reverse:
        dropped.watch(conn, flow)
    ranges = dropped.look(conn, flow, verifying=True) if reverse else ()
    share = sharing(rollout, monitor)
    while True:
        report = verify(
            lambda: connect("verify"),
            flow,
            by=by,
            repair=repair,
            workers=rollout.plan.workers,
            stop=monitor.should_stop,
            say=monitor.say,
            apply_backlog=apply_backlog,
            apply_excused=None if pending else lambda started: applier().apply_excused(started),
            dropped=ranges,
            share=share,
        )
        # Chunks that were dropped while it ran are differences of no kind that anybody should be told of.
        if report.match or not reverse or (now := dropped.look(conn, flow)) == ranges:
            return report
        ranges = now


def synced(conn: Connection, rollout: Rollout) -> Rollout:
    """`copying` -> `synced`, after a clean verification."""
    return store.set_phase(conn, rollout, Phase.SYNCED)
