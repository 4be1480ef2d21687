"""What `drop_chunks` and retention took from the hypertable while it serves: they fire no trigger, so old keeps those rows (I7).

The ledger keeps the hypertable's chunks since the cutover, by name and range; one that is no more (and was not merged
into another) was dropped, and its range stays recorded as dropped even if rows written later make a chunk there anew.
Verification counts the rows apart that only old has there. A rollback would bring them back: never silently, it has to be
accepted by name.
"""

from __future__ import annotations

from psycopg import sql

from ..db import LockMode, execute, fetch_all, fetch_value, load_queries, patient_read, yield_and_retry
from ..db.connection import Connection
from ..ledger import known as known_chunks
from ..ledger import store
from ..ledger.flow import Flow, flow_of
from ..ledger.transaction import lock_statement
from ..model.rollout import Phase, Rollout
from ..verify.ranges import dropped_condition

RULE = "dropped-ranges"
"""What `rollback --accept` must be given for the rows to come back."""

Ranges = tuple[tuple[str, str], ...]
"""From (inclusive) and to (exclusive), as text of the time column's type."""


def _of(name: str, flow: Flow) -> sql.Composed:
    """A statement of `dropped.sql`, whichever way the flow goes."""
    return load_queries(__package__, "dropped.sql")[name].format(
        known=flow.of_ledger("chunk"), gone=known_chunks.gone(flow), **known_chunks.ends(flow)
    )


def watch(conn: Connection, flow: Flow) -> None:
    """Where a verification of the forward direction begins: records the chunks of the hypertable that it proves. Nothing tells
    of one that `drop_chunks` or a retention policy takes from it; where one went since, no verification of before counts."""
    with conn.transaction():
        if store.hold(conn, flow.rollout.id) is not flow.rollout.phase:
            return  # somebody swapped meanwhile: what is known is of use to the way back
        if fetch_value(conn, sql.SQL("SELECT {}").format(missing(flow))):
            store.bump_epoch(conn, flow.rollout.id)
        execute(conn, _of("forget", flow))
        execute(conn, known_chunks.record(flow, attached=True))


def begin(conn: Connection, flow: Flow) -> None:
    """Records the chunks as they are before a cutover; what was dropped in an earlier one no longer counts. Those that the
    verification knew stay known: one that is gone since keeps the cutover from being done."""
    with conn.transaction():
        execute(conn, _of("forget_dropped", flow))
        execute(conn, known_chunks.record(flow, attached=True))


def look(conn: Connection, flow: Flow, *, verifying: bool = False) -> Ranges:
    """Records new chunks and dropped ones, an event for each of these; returns every dropped range. A table that was attached as
    a chunk is recorded where a verification begins (`verifying`), and by nothing else: until then its rows are unproved. Tried
    again where an applier, or another command, notes the same at the same time."""

    def work() -> None:
        with conn.transaction():
            execute(conn, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            known_chunks.note(conn, flow, attached=verifying)

    yield_and_retry(conn, f"note which chunks {flow.rollout.table} has", [flow.rollout.table], work)
    return known(conn, flow)


def known(conn: Connection, flow: Flow) -> Ranges:
    """Every range dropped since the cutover, in order, neighbours joined. Writes nothing."""
    joined: list[tuple[str, str]] = []
    for low, high in fetch_all(conn, _of("dropped", flow)):
        if joined and joined[-1][1] == low:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return tuple(joined)


def of_rollout(conn: Connection, rollout: Rollout) -> Ranges:
    """`known` in the one phase in which there can be any."""
    return known(conn, flow_of(rollout)) if rollout.phase is Phase.CUT_OVER else ()


def unproved(flow: Flow) -> sql.Composed:
    """A boolean expression, cheap at any number of chunks: a table was attached as a chunk since the last verification. For use
    under the rollback's lock as well."""
    return (
        load_queries(__package__, "dropped.sql")["unproved"]
        .format(
            known=flow.of_ledger("chunk"),
            attached=known_chunks.attached(flow),
        )
    )


def noted(flow: Flow) -> sql.Composed:
    """A text that is another one once other chunks are noted as dropped, as an expression."""
    return load_queries(__package__, "dropped.sql")["noted"].format(known=flow.of_ledger("chunk"))


def judged(conn: Connection, flow: Flow) -> tuple[str, Ranges]:
    """`look`, with what `noted` is: taken before the ranges are read, so that what is noted later is no part of it."""
    look(conn, flow)
    return str(fetch_value(conn, sql.SQL("SELECT {}").format(noted(flow)))), known(conn, flow)


def unnoticed(flow: Flow) -> sql.Composed:
    """A boolean expression: a chunk is gone that is not recorded as dropped. For use under the rollback's lock."""
    return _of("unnoticed", flow)


def missing(flow: Flow) -> sql.Composed:
    """A boolean expression, cheap at any number of chunks: a chunk that is known, and not noted as dropped, is none of the
    hypertable's any more. Only where it is true can `unnoticed` be."""
    return (
        load_queries(__package__, "dropped.sql")["missing"]
        .format(known=flow.of_ledger("chunk"), oid=sql.Literal(flow.rollout.hypertable_oid))
    )


def rows_left(conn: Connection, flow: Flow, ranges: Ranges) -> int:
    """How many rows of the dropped ranges old has that the hypertable has not, those apart that the backlog removes."""
    if not ranges:
        return 0
    statement = load_queries(__package__, "dropped.sql")["rows_left"].format(
        old=flow.passive.ident,
        hypertable=flow.active.ident,
        pair=flow.pairs.of_row("o"),
        within=dropped_condition(flow, ranges, "o"),
        match=flow.pairs.matches("p", "s"),
        log=flow.log,
        waiting=flow.pairs.same("l", "p"),
    )

    def work() -> int:
        with conn.transaction():
            execute(conn, lock_statement(flow.passive, LockMode.ACCESS_SHARE))
            execute(conn, lock_statement(flow.active, LockMode.ACCESS_SHARE))
            execute(conn, "SET LOCAL lock_timeout = '1ms'")
            return int(fetch_value(conn, statement))

    return patient_read(conn, f"read {flow.active.name}", [flow.active.name, flow.passive.name], work)


def delete_text(flow: Flow, ranges: Ranges) -> str:
    """The statement by which a user deletes those rows from old, for a message; not those that were written since into a range
    that was dropped, which the hypertable has as well."""
    time = sql.Identifier("o", flow.rollout.plan.time_column)
    where = sql.SQL(" OR ").join(
        sql.SQL("{t} >= {a} AND {t} < {b}").format(t=time, a=sql.Literal(low), b=sql.Literal(high))
        for low, high in ranges
    )
    return (
        sql.SQL(
            "DELETE FROM {old} AS o WHERE ({where}) AND NOT EXISTS "
            "(SELECT FROM (SELECT {pair}) AS p JOIN {hypertable} AS s ON {match})"
        )
        .format(
            old=flow.passive.ident,
            where=where,
            pair=flow.pairs.of_row("o"),
            hypertable=flow.active.ident,
            match=flow.pairs.matches("p", "s"),
        )
        .as_string(None)
    )


def texts(ranges: Ranges) -> tuple[str, ...]:
    """For people: a line each."""
    return tuple(f"{low} to {high}" for low, high in ranges)
