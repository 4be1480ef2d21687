"""Copies batches: each is one INSERT ... SELECT at one snapshot, recorded in the transaction that wrote it (I2)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import psycopg
from psycopg import sql

from ..db import LockMode, execute, fetch_one, is_row_refused, is_transient, is_unique_violation
from ..db.connection import Connection
from ..ledger.flow import Flow
from ..ledger.objects import column_list, range_columns
from ..ledger.transaction import UNFLUSHED, flow_transaction
from ..model.plan import BatchBy

IN_PLACE_ORDER = {"enable_indexscan": "off", "enable_seqscan": "off", "jit": "off"}
"""A batch by time is read in the order in which its rows lie (by a bitmap of the index), not in that of the time. Rows
mostly lie in the order of their key: the shadow's key then grows at its end, at three quarters of the cost and of the size
(measured, for the whole batch: 3.8 against 5.0 µs of CPU a row, 20 against 26 MB of index). Nor is the whole table read for a
batch: the planner takes a bitmap's pages for scattered, and that for as cheap, where a batch is a tenth of the table. What has no
other way than to be read whole is then taken for so dear that it would be compiled."""


BY_INDEX = {"enable_seqscan": "off", "jit": "off"}
"""A batch by the key is read by its index, too, whatever is thought of it."""


class Outcome(StrEnum):
    """What became of an attempt at the next batch."""

    COPIED = "copied"
    NONE_LEFT = "none left"
    UNIQUE = "unique violation"  # a stale row is in the way: apply the backlog, then try again
    REFUSED = "row refused"  # the shadow cannot take a row: leave the batch to the applier
    BUSY = "busy"  # a lock was not to be had: try again


@dataclass(frozen=True)
class Copied:
    """The outcome for one batch. `rows` is what was inserted."""

    outcome: Outcome
    batch: int | None = None
    rows: int = 0
    reason: str = ""


@dataclass(frozen=True)
class _Range:
    """One batch's bounds as text, in the order of the range columns."""

    id: int
    low: tuple[str | None, ...]
    high: tuple[str | None, ...]


class _Taken(Exception):
    """The batch is not pending any more: another has done it, or it was cut anew."""


def _claim(conn: Connection, flow: Flow, only: int | None) -> _Range | None:
    """Takes the first pending batch that nobody works on, until the end of this transaction."""
    names = [name for name, _ in range_columns(flow)]
    ends = [
        sql.SQL("{}::text").format(sql.Identifier(f"{end}_{name}")) for end in ("lo", "hi") for name in names
    ]
    row = fetch_one(
        conn,
        sql.SQL(
            "SELECT id{ends} FROM {batch} WHERE state = 'pending' AND (%(only)s::bigint IS NULL OR id = %(only)s) "
            "ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
        ).format(
            ends=sql.SQL("").join(sql.SQL(", {}").format(end) for end in ends), batch=flow.of_ledger("batch")
        ),
        {"only": only},
    )
    if row is None:
        return None
    return _Range(int(row[0]), tuple(row[1 : 1 + len(names)]), tuple(row[1 + len(names) :]))


def _within(flow: Flow, part: _Range, alias: str) -> sql.Composable:
    """That a source row lies in the batch. Literals, so that the planner knows the range. A batch by time that is open below
    holds the rows whose time is NULL as well: there were none when the rollout began, and the shadow would refuse them."""
    columns = range_columns(flow)
    if not columns:
        return sql.SQL("true")
    by_name = {field.name: field for field in flow.pairs.fields}
    row = sql.SQL("ROW({})").format(sql.SQL(", ").join(by_name[name].of_row(alias) for name, _ in columns))
    terms: list[sql.Composable] = []
    for values, operator in ((part.low, ">="), (part.high, "<")):
        if values[0] is None:
            continue
        bound = sql.SQL(", ").join(
            sql.SQL("{}::{}").format(sql.Literal(value), kind)
            for value, (_, kind) in zip(values, columns, strict=True)
        )
        terms.append(sql.SQL("{} OPERATOR(pg_catalog.{}) ROW({})").format(row, sql.SQL(operator), bound))
        if len(columns) > 1:  # it follows, but tells the planner that the two ends make a range
            first = sql.SQL("{} OPERATOR(pg_catalog.{}=) {}::{}")
            name, kind = columns[0]
            terms.append(first.format(by_name[name].of_row(alias), sql.SQL(operator[0]), sql.Literal(values[0]), kind))
    where = sql.SQL(" AND ").join(terms) if terms else sql.SQL("true")
    if part.low[0] is None and terms and flow.rollout.plan.batch_by is BatchBy.TIME:
        return sql.SQL("(({}) OR {} IS NULL)").format(where, flow.pairs.time.of_row(alias))
    return sql.SQL("({})").format(where)


def _insert(flow: Flow, part: _Range) -> sql.Composed:
    return sql.SQL(
        "INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {source} AS s WHERE {within}"
    ).format(
        target=flow.passive.ident,
        columns=column_list(flow),
        values=column_list(flow, "s"),
        source=flow.active.ident,
        within=_within(flow, part, "s"),
    )


def _done(conn: Connection, flow: Flow, batch: int, rows: int) -> None:
    """Records the batch on condition that it is still pending. It is, as we hold its row; should it not be, two copies of its
    rows would land: raises _Taken, which rolls this one back."""
    done = execute(
        conn,
        sql.SQL(
            "UPDATE {} SET state = 'done', rows = %(rows)s, started_at = pg_catalog.now(), "
            "done_at = pg_catalog.clock_timestamp(), "
            "seconds = EXTRACT(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.now()) "
            "WHERE id = %(id)s AND state = 'pending'"
        ).format(flow.of_ledger("batch")),
        {"rows": rows, "id": batch},
    )
    if done.rowcount != 1:
        raise _Taken


def _settings(flow: Flow) -> dict[str, str]:
    by = flow.rollout.plan.batch_by
    return {**UNFLUSHED, **(IN_PLACE_ORDER if by is BatchBy.TIME else BY_INDEX if by is BatchBy.KEY else {})}


def copy_next(conn: Connection, flow: Flow, *, only: int | None = None) -> Copied:
    """Copies the next pending batch (or the one given) in one transaction and says what became of it."""
    part: _Range | None = None
    try:
        with flow_transaction(
            conn, flow, snapshot=False, passive_mode=LockMode.ROW_EXCLUSIVE, settings=_settings(flow)
        ):
            part = _claim(conn, flow, only)
            if part is None:
                return Copied(Outcome.NONE_LEFT)
            rows = execute(conn, _insert(flow, part)).rowcount
            _done(conn, flow, part.id, rows)
            return Copied(Outcome.COPIED, part.id, rows)
    except _Taken:
        return Copied(Outcome.BUSY, part.id if part else None, reason="the batch is not pending any more")
    except psycopg.Error as error:
        reason = (error.diag.message_primary or str(error)).strip()
        batch = part.id if part else None
        if is_unique_violation(error):
            return Copied(Outcome.UNIQUE, batch, reason=reason)
        if part is not None and is_row_refused(error):
            return Copied(Outcome.REFUSED, batch, reason=reason)
        if is_transient(error):
            return Copied(Outcome.BUSY, batch, reason=reason)
        raise


def leave_to_applier(conn: Connection, flow: Flow, batch: int) -> str | None:
    """Puts the pair of every row of the batch into the change log and marks the batch done: the applier finds the rows that the
    shadow refuses, quarantines those and brings the others. Where a lock was not to be had, gives what the server said, with the
    batch still pending."""
    try:
        with suppress(_Taken), flow_transaction(conn, flow, snapshot=False, passive_mode=LockMode.ROW_EXCLUSIVE):
            part = _claim(conn, flow, batch)
            if part is None:
                return None
            execute(
                conn,
                sql.SQL(
                    "INSERT INTO {log} (op, {pair}) SELECT 'W', {values} FROM {source} AS s WHERE {within}"
                ).format(
                    log=flow.log,
                    pair=flow.pairs.columns(),
                    values=flow.pairs.of_row("s"),
                    source=flow.active.ident,
                    within=_within(flow, part, "s"),
                ),
            )
            _done(conn, flow, part.id, 0)
    except psycopg.Error as error:
        if not is_transient(error):
            raise
        return (error.diag.message_primary or str(error)).strip()
    return None


@dataclass(frozen=True)
class BatchProgress:
    """Batches and rows so far; `rows_per_second` over the last batches, all workers together, None when unknown."""

    done: int
    total: int
    rows: int
    rows_per_second: float | None


def progress(conn: Connection, flow: Flow) -> BatchProgress:
    """How far the copy is."""
    row = fetch_one(
        conn,
        sql.SQL(
            "SELECT pg_catalog.count(*) FILTER (WHERE state = 'done'), pg_catalog.count(*), COALESCE(pg_catalog.sum(rows), 0), "
            "(SELECT pg_catalog.sum(r.rows) / NULLIF(EXTRACT(epoch FROM pg_catalog.max(r.done_at) - "
            "pg_catalog.min(r.started_at)), 0) "
            " FROM (SELECT rows, started_at, done_at FROM {batch} WHERE state = 'done' ORDER BY done_at DESC LIMIT 20) AS r) "
            "FROM {batch}"
        ).format(batch=flow.of_ledger("batch")),
    )
    assert row is not None
    return BatchProgress(int(row[0]), int(row[1]), int(row[2]), float(row[3]) if row[3] is not None else None)
