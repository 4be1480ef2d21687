"""How every transaction of ours on the application's table begins: lock, then look (invariant I0).

`LOCK TABLE` takes no snapshot, so the first snapshot is taken when the locks are held: what TRUNCATE, VACUUM FULL or another
rewrite did before is seen whole, and none can happen until we are done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from ..db import LockMode, execute, fetch_all, load_queries
from ..db.connection import Connection
from ..errors import CaptureBroken, SchemaChanged
from .chunks import Chunks
from .flow import Flow, Side

UNFLUSHED = {"synchronous_commit": "off"}
"""Batches and slices do not wait for the disk. WAL is one sequence: a crash that takes a batch's commit takes its mark in the
ledger with it, one that takes a slice's brings its log rows back with the state that the target had before, and either takes
everything that was committed later. What is built upon them (the end of the copy, a verification's record, the swap) is committed
later and waits for the disk, and so for them. So does the end of a truncated part of the log, since a commit that removes a file
waits for the disk at any rate; what it need not wait for is a standby."""


@dataclass(frozen=True)
class Seen:
    """A table as it is: its digest of columns and its triggers of ours (name -> 'enabled:xmin:function')."""

    oid: int | None
    columns: str | None
    triggers: dict[str, str]


def see(conn: Connection, sides: list[Side]) -> list[Seen]:
    """What the tables are now, by name."""
    rows = fetch_all(
        conn, load_queries(__package__, "look.sql")["look"], {"names": [side.name.quoted for side in sides]}
    )
    return [Seen(row[1], row[2], row[3] or {}) for row in rows]


def expect(conn: Connection, rollout_id: int, side: Side) -> None:
    """Records the table as it is now as what every later transaction must find."""
    seen = see(conn, [side])[0]
    execute(
        conn,
        load_queries(__package__, "look.sql")["expect"],
        {"rollout": rollout_id, "oid": side.oid, "columns": seen.columns, "triggers": Jsonb(seen.triggers)},
    )


def look(conn: Connection, flow: Flow) -> None:
    """Checks that both tables are what the rollout made or saw, and that capture is in place on the active one.

    Raises SchemaChanged or CaptureBroken (exit code 3).
    """
    expected = {
        int(row[0]): (row[1], row[2])
        for row in fetch_all(
            conn, load_queries(__package__, "look.sql")["expectations"], {"rollout": flow.rollout.id}
        )
    }
    for side, seen in zip((flow.active, flow.passive), see(conn, [flow.active, flow.passive]), strict=True):
        if seen.oid != side.oid:
            raise SchemaChanged(
                f"{side.name} is no longer the table that this rollout works on.",
                facts={
                    "expected OID": side.oid,
                    "OID now": seen.oid or "no such table",
                    "rollout": flow.rollout.id,
                },
                remedy="somebody replaced, renamed or dropped it. Put it back, or end this rollout with "
                "`hyperferry abort` and start anew.",
            )
        columns, triggers = expected.get(side.oid, (None, {}))
        if columns != seen.columns:
            raise SchemaChanged(
                f"The columns of {side.name} were changed since the rollout began.",
                facts={"rollout": flow.rollout.id},
                remedy="undo the change, or end this rollout with `hyperferry abort` and start anew with a new plan.",
            )
        if side is flow.active and triggers != seen.triggers:
            raise CaptureBroken(
                f"The triggers that capture writes on {side.name} were dropped, disabled or changed.",
                facts={
                    "expected": ", ".join(f"{k} {v}" for k, v in sorted(triggers.items())) or "none",
                    "found": ", ".join(f"{k} {v}" for k, v in sorted(seen.triggers.items())) or "none",
                },
                remedy="writes may have been missed, so this rollout can no longer be trusted. Before the cutover: "
                "`hyperferry abort`, then start anew. After it the hypertable is sound, but the way back is lost: "
                "`hyperferry finish` ends the rollout; see docs/runbook.md.",
            )


def lock_statement(side: Side, mode: LockMode, *, nowait: bool = False) -> sql.Composed:
    """LOCK TABLE for one side; ONLY for a hypertable, or every chunk would be locked too."""
    return sql.SQL("LOCK TABLE {only} {table} IN {mode} MODE{nowait}").format(
        only=sql.SQL("ONLY") if side.hypertable else sql.SQL(""),
        table=side.ident,
        mode=sql.SQL(mode.value),
        nowait=sql.SQL(" NOWAIT") if nowait else sql.SQL(""),
    )


def _lock(conn: Connection, flow: Flow, locks: Sequence[sql.Composable]) -> None:
    try:
        execute(conn, sql.SQL("; ").join(locks))
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        raise SchemaChanged(
            f"{flow.active.name} or {flow.passive.name} is not where this rollout left it.",
            facts={"rollout": flow.rollout.id},
            remedy="a swap moved it in this moment, or somebody dropped or renamed it; see `hyperferry status`.",
        ) from None


@contextmanager
def flow_transaction(
    conn: Connection,
    flow: Flow,
    *,
    snapshot: bool,
    applier: bool = False,
    passive_mode: LockMode = LockMode.ACCESS_SHARE,
    settings: dict[str, str] | None = None,
    nothing_read: Callable[[], bool] = lambda: False,
    chunk: Side | None = None,
) -> Iterator[None]:
    """A transaction on both sides: locks first, then a look, then the caller's work; commits at the end.

    `snapshot`: REPEATABLE READ, one snapshot for the whole transaction, taken after the locks; else READ
    COMMITTED. `applier`: take this
    direction's applier lock first, before the snapshot (I3). `passive_mode`: the lock on the passive side, which is ours.
    The active side comes last and gets ACCESS SHARE, so that nothing that the application could want is held while we wait.
    `nothing_read`, asked at the end: neither table was read, so that it does not matter what became of the chunks. `chunk`: of
    the hypertable nothing else is read, and it is locked so that nobody compresses or opens it meanwhile; others may be.
    Lock failures come out as psycopg errors with the transaction rolled back: `db.yield_and_retry` runs it again.
    """
    chunks = Chunks.before(conn, flow) if snapshot and chunk is None else None
    conn.isolation_level = (
        psycopg.IsolationLevel.REPEATABLE_READ if snapshot else psycopg.IsolationLevel.READ_COMMITTED
    )
    locks: list[sql.Composable] = []
    for name, value in (settings or {}).items():
        locks.append(sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value)))
    if applier:
        locks.append(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(flow.lock))
    elif snapshot:
        # An older snapshot must not miss rows that `apply.tidy` removed with their file: it finds this lock, and comes again.
        locks.append(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(flow.log))
    if chunk is not None:
        locks.append(lock_statement(chunk, LockMode.SHARE_UPDATE_EXCLUSIVE))
    locks.append(lock_statement(flow.passive, passive_mode))
    locks.append(lock_statement(flow.active, LockMode.ACCESS_SHARE))
    if flow.active.hypertable:
        # Its chunks are further locks: somebody who drops or compresses one is not waited for.
        locks.append(sql.SQL("SET LOCAL lock_timeout = '1ms'"))
    try:
        with conn.transaction():
            _lock(conn, flow, locks)
            look(conn, flow)
            yield
            if chunks is not None and not nothing_read():
                chunks.refuse_changed()
    finally:
        if not conn.closed:
            conn.isolation_level = None
