"""In place: the fast path for empty and small tables. One transaction that nobody can read or write beside,
and no way back.

`create_hypertable(migrate_data => true)` moves every row in one backend while ACCESS EXCLUSIVE is held, and
needs about the table's size again on disk until the commit. Once committed there is no reversal: PostgreSQL
cannot make a plain table of a hypertable.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ..catalog import fingerprint, refuse_overloads
from ..db import (
    cancel_autovacuum,
    execute,
    fetch_all,
    fetch_value,
    is_lost_connection,
    load_queries,
    not_held_by_the_gone,
    patient_read,
    yield_and_retry,
)
from ..db.connection import Connection
from ..errors import ConnectionFailed, Failed, Refused, SchemaChanged
from ..ledger import store
from ..model.inspection import Inspection
from ..model.plan import Plan
from ..model.rollout import Phase, Rollout
from .in_place_statements import BEFORE_COMMIT, count_statement, lock_statements, statements
from .monitor import Monitor

__all__ = ["DEFAULT_MAX_ROWS", "InPlaceReport", "carry_out", "estimate_block_seconds", "run", "statements"]

DEFAULT_MAX_ROWS = 1_000_000

# Measured on two cores: 1,000,000 rows, 146 MB with a key and two indexes, 53 chunks, 1.6 to 2.3 s. Half of
# that speed is promised.
_ROWS_PER_SECOND = 220_000
_BYTES_PER_SECOND = 32_000_000
_SECONDS_PER_CHUNK = 0.01
_SECONDS_AT_LEAST = 0.1


LOOK_SECONDS = 10.0
"""So long a moment is looked for in which nobody holds a snapshot."""

SNAPSHOTS = "snapshot-transactions"
"""What is accepted by whoever knows that no older snapshot matters."""


@dataclass(frozen=True)
class InPlaceReport:
    """What was done. `blocked_seconds` is how long the table was locked, `analyze_seconds` came after
    that."""

    rows: int
    chunks: int
    blocked_seconds: float
    analyze_seconds: float


def estimate_block_seconds(inspection: Inspection) -> float:
    """Seconds for which everybody who uses the table will be blocked: by its rows or its bytes, whichever
    takes longer, plus the chunks. Cautious by a factor of about two against what was measured."""
    rows = inspection.scan.rows if inspection.scan else max(inspection.table.estimated_rows, 0)
    chunks = inspection.scan.buckets if inspection.scan else 0
    work = max(rows / _ROWS_PER_SECOND, inspection.table.total_bytes / _BYTES_PER_SECOND)
    return _SECONDS_AT_LEAST + work + chunks * _SECONDS_PER_CHUNK


def run(
    conn: Connection,
    plan: Plan,
    *,
    force: bool = False,
    max_rows: int = DEFAULT_MAX_ROWS,
    snapshots_accepted: bool = False,
    on_event: Callable[[str], None] = lambda message: None,
    before_commit: Callable[[Connection], None] = lambda conn: None,
    should_stop: Callable[[], None] = lambda: None,
) -> InPlaceReport:
    """Makes the table a hypertable where it stands, or leaves it exactly as it was.

    `conn` is an autocommit session of `db.connect`. `before_commit` runs inside the transaction after all
    statements: what it writes is committed with the hypertable, what it raises undoes everything. Raises
    Refused above `max_rows` rows unless `force`, and while somebody holds an older snapshot unless that was accepted;
    SchemaChanged when the table is not what the plan saw, LockUnavailable when it cannot be locked, Failed when a
    statement fails.
    """
    todo = statements(plan)
    _guard(conn, plan, force=force, max_rows=max_rows)
    on_event(
        f"{plan.table} will be locked for about {estimate_block_seconds(plan.inspection):.1f} s; "
        "nobody can read or write it meanwhile. There is no way back once it is done."
    )
    if not snapshots_accepted:
        _wait_for_snapshots(conn, plan, should_stop)
    cancel_autovacuum(conn, plan.table)
    try:
        yield_and_retry(
            conn, f"lock {plan.table}", [plan.table], lambda: _lock(conn, plan), should_stop=should_stop
        )
        started = time.monotonic()
        _check_unchanged(conn, plan)
        before = _count(conn, plan)
        if before > max_rows and not force:
            raise _too_many(plan, before, max_rows)
        for statement in todo:
            if statement.step in BEFORE_COMMIT:
                should_stop()
                on_event(statement.comment)
                execute(conn, statement.sql)
        after = _count(conn, plan)
        if after != before:
            raise Failed(
                f"{plan.table} had {before} rows and would have {after} as a hypertable: everything was "
                "rolled back.",
                facts={"rows before": before, "rows after": after},
                remedy="take the strategy blue-green, and report this with the table's definition.",
            )
        before_commit(conn)
        if not snapshots_accepted:
            _refuse_snapshots(conn, plan)
        execute(conn, "COMMIT")
    except psycopg.Error as error:
        raise _failed(conn, plan, error) from error
    finally:
        _release(conn)
    blocked = time.monotonic() - started
    on_event(f"committed: {plan.table} is a hypertable with {after} rows; it was locked for {blocked:.1f} s")
    return InPlaceReport(
        rows=after, chunks=_chunks(conn, plan), blocked_seconds=blocked, analyze_seconds=_analyze(conn, plan)
    )


def _wait_for_snapshots(conn: Connection, plan: Plan, should_stop: Callable[[], None]) -> None:
    """Goes on at a moment in which nobody is seen who holds a snapshot. Raises Refused where there is none for LOOK_SECONDS."""
    end = time.monotonic() + LOOK_SECONDS
    while time.monotonic() < end:
        should_stop()
        if not _snapshot_holders(conn):
            return
        time.sleep(0.1)
    _refuse_snapshots(conn, plan)


def _refuse_snapshots(conn: Connection, plan: Plan) -> None:
    holders = _snapshot_holders(conn)
    if holders:
        raise Refused(
            f"Somebody holds a snapshot from before: to him {plan.table} would be empty, without an error, once its rows are in "
            "chunks. Nothing was changed.",
            facts={f"session {number}": text for number, text in enumerate(holders, 1)},
            remedy="wait for these transactions (or end them) and run the same command again; where none of them reads this "
            f"table: --accept {SNAPSHOTS}.",
        )


def _snapshot_holders(conn: Connection) -> list[str]:
    return [
        f"{pid} ({user or 'unknown'}, {name or 'no name'}, {state}, since {seconds:.0f} s): "
        f"{' '.join((query or '').split())[:100]}"
        for pid, user, name, state, seconds, query in fetch_all(
            conn, load_queries(__package__, "in_place.sql")["snapshot_holders"]
        )
    ]


def _guard(conn: Connection, plan: Plan, *, force: bool, max_rows: int) -> None:
    """Refuses a table that is too large, before it is locked. The estimate is trusted where it is far above
    the limit."""
    if force:
        return
    if plan.inspection.table.estimated_rows > 2 * max_rows:
        raise _too_many(plan, plan.inspection.table.estimated_rows, max_rows)
    query = load_queries(__package__, "in_place.sql")["rows_up_to"].format(
        table=sql.Identifier(plan.table.schema, plan.table.name), limit=sql.Literal(max_rows)
    )
    try:
        counted = int(
            patient_read(conn, f"read {plan.table}", [plan.table], lambda: fetch_value(conn, query))
        )
    except psycopg.Error as error:
        raise _failed(conn, plan, error) from error
    if counted > max_rows:
        raise _too_many(plan, counted, max_rows)


def _too_many(plan: Plan, rows: int, max_rows: int) -> Refused:
    return Refused(
        f"{plan.table} is too large to be made a hypertable in place: writers and readers would be blocked "
        "all the while.",
        facts={
            "rows (at least, or estimated)": rows,
            "limit": max_rows,
            "blocked for about": f"{estimate_block_seconds(plan.inspection):.0f} s",
        },
        remedy="take the strategy blue-green, or give --force if the table may be blocked for that long.",
    )


def _lock(conn: Connection, plan: Plan) -> None:
    """Opens the transaction and locks: only the first lock waits. Leaves the transaction open; what fails is
    rolled back by the caller."""
    execute(conn, "BEGIN ISOLATION LEVEL READ COMMITTED")
    not_held_by_the_gone(conn)
    for statement in lock_statements(plan):
        execute(conn, statement.sql)


def _check_unchanged(conn: Connection, plan: Plan) -> None:
    refuse_overloads(conn)
    oid = plan.inspection.table.oid
    query = load_queries(__package__, "in_place.sql")["same_table"]
    same = fetch_value(conn, query, {"table": plan.table.quoted, "oid": oid})
    now = fingerprint(conn, oid) if same else ""
    if now != plan.fingerprint:
        raise SchemaChanged(
            f"{plan.table} is not what the plan saw.",
            facts={
                "fingerprint in the plan": plan.fingerprint,
                "fingerprint now": now or "(another table, or none)",
            },
            remedy="nothing was changed; make the plan again.",
        )


def _count(conn: Connection, plan: Plan) -> int:
    return int(fetch_value(conn, count_statement(plan.table, "").sql))


def _failed(conn: Connection, plan: Plan, error: psycopg.Error) -> Failed:
    if conn.closed or is_lost_connection(error):
        return ConnectionFailed(
            f"The connection was lost while {plan.table} was made a hypertable.",
            facts={"server said": str(error).strip()},
            remedy="run the same command again: it looks first at whether the table is a hypertable now; "
            "a transaction that had not been committed left nothing behind.",
        )
    return Failed(
        f"{plan.table} could not be made a hypertable in place; everything was rolled back.",
        facts={"server said": str(error).strip(), "SQLSTATE": error.sqlstate or "none"},
        remedy="the table is as it was; remove what stands in the way (hyperferry preflight names it), "
        "then plan again.",
    )


def _release(conn: Connection) -> None:
    """Nothing stays open or locked, whatever happened (an interrupt too)."""
    if not conn.closed and conn.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        conn.rollback()


def _chunks(conn: Connection, plan: Plan) -> int:
    query = load_queries(__package__, "in_place.sql")["chunks"]
    return int(fetch_value(conn, query, {"schema": plan.table.schema, "name": plan.table.name}) or 0)


def _analyze(conn: Connection, plan: Plan) -> float:
    """Seconds that ANALYZE took; 0 when it could not be had just now (autovacuum does it then)."""
    started = time.monotonic()
    try:
        execute(conn, next(s for s in statements(plan) if s.step == "analyze").sql)
    except psycopg.errors.LockNotAvailable:
        return 0.0
    return time.monotonic() - started


def carry_out(
    conn: Connection, plan: Plan, monitor: Monitor, *, force: bool, max_rows: int, accept: frozenset[str]
) -> tuple[Rollout, int]:
    """`run`, with its record in the ledger written by the same transaction: a rollout that is finished, and the rows."""
    recorded: list[Rollout] = []

    def record(inside: Connection) -> None:
        store.install(inside)
        rollout = store.set_hypertable(inside, store.create(inside, plan), plan.inspection.table.oid)
        recorded.append(store.set_phase(inside, rollout, Phase.FINISHED))

    report = run(
        conn,
        plan,
        force=force,
        max_rows=max_rows,
        snapshots_accepted=bool(accept & {SNAPSHOTS, "all"}),
        on_event=monitor.say,
        before_commit=record,
        should_stop=monitor.should_stop,
    )
    store.event(
        conn,
        recorded[-1].id,
        "in place",
        {"rows": report.rows, "chunks": report.chunks, "seconds": report.blocked_seconds},
    )
    return recorded[-1], report.rows
