"""Blue/green, step by step. Each step looks at the ledger (or the world) first, so that it can be run again after a crash."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from psycopg import sql

from ..apply import Applier, requeue_quarantined
from ..capture import drop_trigger_statements, install_forward, install_reverse
from ..capture.functions import drop_function_statements
from ..catalog import fingerprint, refuse_overloads
from ..copy import indexes, shadow
from ..copy.batches import boundaries, record_batches
from ..cutover import dropped
from ..db import Blocker, LockMode, cancel_autovacuum, execute, fetch_value, patient_read, yield_and_retry
from ..db.connection import Connection
from ..errors import Refused, SchemaChanged
from ..ledger import objects, store
from ..ledger.flow import Side, flow_of
from ..ledger.rights import Kind, owner_alone
from ..ledger.transaction import expect, lock_statement
from ..model.names import TableName, quote_ident
from ..model.plan import BatchBy
from ..model.report import VerifyReport
from ..model.rollout import Direction, Phase, Rollout
from ..model.statement import Statement
from ..verify import verify
from .copying import copy as copy
from .copying import pending as _pending
from .monitor import Monitor
from .workers import Connect


def telling(monitor: Monitor, what: str) -> Callable[[int, list[Blocker]], None]:
    """Says who is in the way, at the first failure and then now and then."""

    def tell(attempt: int, blockers: list[Blocker]) -> None:
        if attempt == 1 or attempt % 10 == 0:
            names = "; ".join(str(b) for b in blockers[:2]) or "a session that is gone by now"
            monitor.say(f"{what}: attempt {attempt} gave way to {names}")

    return tell


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
    if column.not_null or plan.batch_by is not BatchBy.TIME:
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


def cut_batches(conn: Connection, rollout: Rollout, monitor: Monitor) -> Rollout:
    """`prepared` -> `copying`: the source is cut into batches, after capture is in place (I2)."""
    flow = flow_of(rollout, Direction.FORWARD)
    cuts = patient_read(conn, f"read {rollout.table}", [rollout.table], lambda: boundaries(conn, flow))
    with conn.transaction():
        number = record_batches(conn, flow, cuts)
        rollout = store.set_phase(conn, rollout, Phase.COPYING)
    monitor.say(f"{number} batches to copy")
    return rollout


def complete(conn: Connection, rollout: Rollout, monitor: Monitor) -> None:
    """Indexes, statistics and the sleeping reverse capture: everything that can be ready before the cutover (I6)."""
    names, flow = rollout.names, flow_of(rollout, Direction.FORWARD)
    built = 0
    for name, group in shadow.index_groups(rollout.plan, names.shadow):
        monitor.wait_for_turn()
        built += indexes.run_missing(conn, name, group, flow.passive, monitor.should_stop)
    if built:
        monitor.say(f"{built} indexes built")
    if built or not store.last_events(conn, rollout.id, ["analyzed"]):
        monitor.should_stop()
        started = time.monotonic()
        indexes.analyze(conn, flow)
        store.event(conn, rollout.id, "analyzed", {"seconds": round(time.monotonic() - started, 3)})
    if not store.last_events(conn, rollout.id, ["reverse capture"]):
        reverse = flow_of(rollout, Direction.REVERSE)
        with conn.transaction():
            execute(conn, "SET LOCAL lock_timeout = '60s'")  # nobody but our own workers uses the shadow
            execute(conn, lock_statement(flow.passive, LockMode.SHARE_ROW_EXCLUSIVE))
            install_reverse(conn, reverse, flow.passive)
            store.event(conn, rollout.id, "reverse capture")


def catch_up(conn: Connection, rollout: Rollout, monitor: Monitor) -> int:
    """Applies the backlog of the present direction until it is empty once; what was quarantined is tried again first."""
    flow = flow_of(rollout)
    requeue_quarantined(conn, flow)
    return Applier(conn, flow, should_stop=monitor.should_stop).drain(pending_batches=False).changes


def keep_in_step(conn: Connection, rollout: Rollout, monitor: Monitor) -> bool:
    """Applies the backlog for a while; True when it was empty at the end."""
    flow = flow_of(rollout)
    return (
        Applier(conn, flow, should_stop=monitor.should_stop)
        .drain(pending_batches=False, at_most_seconds=1.0)
        .empty
    )


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

    def apply_backlog() -> None:
        Applier(conn, flow, should_stop=monitor.should_stop).drain(pending_batches=pending)

    reverse = flow.direction is Direction.REVERSE
    ranges = dropped.look(conn, flow) if reverse else ()
    while True:
        report = verify(
            lambda: connect("verify"),
            flow,
            by=by,
            repair=repair,
            stop=monitor.should_stop,
            say=monitor.say,
            apply_backlog=apply_backlog,
            dropped=ranges,
        )
        # Chunks that were dropped while it ran are differences of no kind that anybody should be told of.
        if report.match or not reverse or (now := dropped.look(conn, flow)) == ranges:
            return report
        ranges = now


def synced(conn: Connection, rollout: Rollout) -> Rollout:
    """`copying` -> `synced`, after a clean verification."""
    return store.set_phase(conn, rollout, Phase.SYNCED)


def _drop(
    conn: Connection,
    what: str,
    side: Side,
    statements: Callable[[], None],
    monitor: Monitor,
) -> None:
    """Runs a transaction that begins with ACCESS EXCLUSIVE on one of the application's tables."""

    def work() -> None:
        cancel_autovacuum(conn, side.name)  # its chunks, too, lose their triggers
        with conn.transaction():
            execute(conn, lock_statement(side, LockMode.ACCESS_EXCLUSIVE))
            execute(
                conn, "SET LOCAL lock_timeout = '1ms'"
            )  # no further lock is waited for while this one is held
            statements()

    yield_and_retry(
        conn, what, [side.name], work, should_stop=monitor.should_stop, on_failure=telling(monitor, what)
    )


def _exists(conn: Connection, table: TableName, oid: int) -> bool:
    return bool(fetch_value(conn, "SELECT to_regclass(%s)::oid::bigint = %s", [table.quoted, oid]))


def abort(conn: Connection, rollout: Rollout, monitor: Monitor) -> Rollout:
    """Leaves the source as it was found: capture off it first, then everything that was built."""
    if rollout.hypertable_oid is not None:
        flow = flow_of(rollout, Direction.FORWARD)
        source = flow.active
        if _exists(conn, source.name, source.oid):
            _drop(
                conn,
                f"take capture off {source.name}",
                source,
                lambda: _run(conn, drop_trigger_statements(flow, source)),
                monitor,
            )
    return _end(conn, rollout, Phase.ABORTED, monitor)


def finish(conn: Connection, rollout: Rollout, monitor: Monitor) -> Rollout:
    """Drops old and the capture; the record stays."""
    reverse = flow_of(rollout, Direction.REVERSE)
    _refuse_dependents(conn, rollout)
    _drop(
        conn,
        f"take capture off {reverse.active.name}",
        reverse.active,
        lambda: _run(conn, drop_trigger_statements(reverse, reverse.active)),
        monitor,
    )
    return _end(conn, rollout, Phase.FINISHED, monitor)


def _end(conn: Connection, rollout: Rollout, phase: Phase, monitor: Monitor) -> Rollout:
    """Drops what is left of ours, and notes it, in one transaction. The parked table may have readers: it comes first."""
    parked = _parked(rollout)

    def work() -> Rollout:
        with conn.transaction():
            if rollout.hypertable_oid is not None:
                if fetch_value(conn, "SELECT to_regclass(%s) IS NOT NULL", [parked.quoted]):
                    execute(
                        conn,
                        sql.SQL("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE").format(
                            sql.Identifier(parked.schema, parked.name)
                        ),
                    )
                execute(conn, "SET LOCAL lock_timeout = '20ms'")
                _remove_own(conn, rollout)
            return store.set_phase(conn, rollout, phase)

    what = f"drop {parked} and the rollout's own tables"
    return yield_and_retry(
        conn, what, [parked], work, should_stop=monitor.should_stop, on_failure=telling(monitor, what)
    )


def _parked(rollout: Rollout) -> TableName:
    """The table that is not in use: old while the hypertable serves, else the shadow."""
    return rollout.names.old if rollout.phase.hypertable_serves else rollout.names.shadow


def _refuse_dependents(conn: Connection, rollout: Rollout) -> None:
    """Nothing of anybody else's may hang on old: dropping it would take that along."""
    names = rollout.names
    found = fetch_value(
        conn,
        "SELECT string_agg(DISTINCT CASE WHEN w.oid IS NULL THEN pg_describe_object(d.classid, d.objid, d.objsubid) "
        "ELSE pg_describe_object('pg_class'::regclass, w.ev_class, 0) END, ', ') "
        "FROM pg_class c JOIN pg_type y ON y.oid = c.reltype CROSS JOIN LATERAL (VALUES ('pg_class'::regclass, c.oid), "
        "('pg_type'::regclass, y.oid), ('pg_type'::regclass, y.typarray)) AS r (classid, objid) "
        "JOIN pg_depend d ON d.refclassid = r.classid AND d.refobjid = r.objid AND d.deptype = 'n' "
        "LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid "
        "WHERE c.oid = to_regclass(%s) AND w.ev_class IS DISTINCT FROM c.oid "
        # Its own constraints, generated columns, policies and triggers.
        "AND NOT EXISTS (SELECT FROM pg_constraint k WHERE d.classid = 'pg_constraint'::regclass AND k.oid = d.objid "
        "AND k.conrelid = c.oid) "
        "AND NOT EXISTS (SELECT FROM pg_attrdef k WHERE d.classid = 'pg_attrdef'::regclass AND k.oid = d.objid "
        "AND k.adrelid = c.oid) "
        "AND NOT EXISTS (SELECT FROM pg_policy k WHERE d.classid = 'pg_policy'::regclass AND k.oid = d.objid "
        "AND k.polrelid = c.oid) "
        "AND NOT EXISTS (SELECT FROM pg_trigger k WHERE d.classid = 'pg_trigger'::regclass AND k.oid = d.objid "
        "AND k.tgrelid = c.oid)",
        [names.old.quoted],
    )
    if found:
        raise Refused(
            f"Something still depends on {names.old}, which finish would drop.",
            facts={"dependents": found},
            remedy="drop it or point it at the table that has the name now, then run the same command again.",
        )


def _run(conn: Connection, statements: Sequence[Statement]) -> None:
    for statement in statements:
        execute(conn, statement.sql)


def _note_copied(conn: Connection, rollout: Rollout) -> None:
    """What the record keeps of the batches: how many rows they copied."""
    batch = flow_of(rollout, Direction.FORWARD).of_ledger("batch")
    if fetch_value(conn, "SELECT to_regclass(%s)", [batch.as_string(None)]) is not None:
        rows = fetch_value(conn, sql.SQL("SELECT COALESCE(pg_catalog.sum(rows), 0) FROM {}").format(batch))
        store.event(conn, rollout.id, "copied", {"rows": int(rows)})


def _remove_own(conn: Connection, rollout: Rollout) -> None:
    """Drops the parked table, the rollout's tables, functions and schemas; nothing with CASCADE."""
    names = rollout.names
    _note_copied(conn, rollout)
    parked = _parked(rollout)
    forward, reverse = flow_of(rollout, Direction.FORWARD), flow_of(rollout, Direction.REVERSE)
    for statistics in rollout.plan.inspection.extended_statistics:
        name = sql.Identifier(parked.schema, statistics.name.name)
        execute(conn, sql.SQL("DROP STATISTICS IF EXISTS {}").format(name))
    execute(conn, sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(parked.schema, parked.name)))
    for flow in (forward, reverse):
        _run(conn, drop_function_statements(flow))
    _run(conn, objects.drop_statements(forward))
    for schema in (names.new_schema, names.old_schema):
        execute(conn, sql.SQL("DROP SCHEMA IF EXISTS {}").format(sql.Identifier(schema)))
    execute(conn, "DELETE FROM hyperferry.expectation WHERE rollout_id = %s", [rollout.id])
    _revoke_usage(conn, rollout)


def _revoke_usage(conn: Connection, rollout: Rollout) -> None:
    """The owner's right on the ledger's schema goes with its last function there."""
    owner = rollout.plan.inspection.table.owner
    needed = fetch_value(
        conn,
        "SELECT pg_has_role(%(owner)s, n.nspowner, 'USAGE') OR EXISTS (SELECT FROM pg_proc p, aclexplode(p.proacl) a "
        "WHERE p.pronamespace = n.oid AND p.proowner <> a.grantee AND a.grantee = to_regrole(quote_ident(%(owner)s))) "
        "FROM pg_namespace n WHERE n.nspname = 'hyperferry'",
        {"owner": owner},
    )
    if not needed:
        execute(conn, sql.SQL("REVOKE USAGE ON SCHEMA hyperferry FROM {}").format(sql.Identifier(owner)))
