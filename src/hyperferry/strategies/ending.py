"""The end of blue/green, either way: capture off the application's table first, then everything that is ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import psycopg
from psycopg import sql

from ..capture import drop_trigger_statements, sleep_statements, trigger_names
from ..capture.functions import drop_function_statements, function_names
from ..catalog import name_of
from ..db import (
    LockMode,
    cancel_autovacuum,
    execute,
    fetch_all,
    fetch_value,
    keep_autovacuum_off,
    load_queries,
    not_held_by_the_gone,
    outlast_toast_vacuum,
    yield_and_retry,
)
from ..db.connection import Connection
from ..errors import Refused
from ..ledger import objects, store
from ..ledger.flow import Flow, Side, flow_of
from ..ledger.rights import schema_lock
from ..ledger.transaction import lock_statement
from ..model.names import TableName
from ..model.rollout import Direction, Phase, Rollout
from ..model.statement import Statement
from .monitor import Monitor, telling


def _drop(
    conn: Connection,
    what: str,
    side: Side,
    statements: Callable[[], None],
    monitor: Monitor,
) -> None:
    """Runs a transaction that begins with ACCESS EXCLUSIVE on one of the application's tables."""

    def work() -> None:
        cancel_autovacuum(conn, side.name, chunks=False)
        with conn.transaction():
            not_held_by_the_gone(conn)
            execute(conn, lock_statement(side, LockMode.ACCESS_EXCLUSIVE))
            execute(
                conn, "SET LOCAL lock_timeout = '1ms'"
            )  # no further lock is waited for while this one is held
            statements()

    yield_and_retry(
        conn, what, [side.name], work, should_stop=monitor.should_stop, on_failure=telling(monitor, what)
    )


FOLLOWED = 10
"""How often a source that is renamed or moved in the very moment is looked for again."""


class _Moved(Exception):
    """The table has another name by now."""


def _as_it_is_called(conn: Connection, side: Side) -> Side | None:
    """The side under the name that its table has now; None where the table is gone."""
    name = name_of(conn, side.oid)
    return None if name is None else replace(side, name=name)


def _hold(conn: Connection, rollout: Rollout) -> None:
    """Within a transaction: the rollout stays in the phase that we know, to its end. Raises Refused where it left that."""
    now = store.hold(conn, rollout.id)
    if now is not rollout.phase:
        raise Refused(
            f"The rollout of {rollout.table} is in another phase by now: {now}, moved by another hyperferry.",
            facts={"rollout": rollout.id, "before": rollout.phase},
            remedy="`hyperferry status` shows where it is.",
        )


def abort(conn: Connection, rollout: Rollout, monitor: Monitor) -> Rollout:
    """Leaves the source as it was found, but for what others changed of it: capture off it first, whatever it is called now, then
    everything that was built."""
    if rollout.hypertable_oid is not None:
        _release(conn, flow_of(rollout, Direction.FORWARD), monitor)
        _bare_chunks(conn, flow_of(rollout, Direction.REVERSE), monitor, strays=True)
    return _end(conn, rollout, Phase.ABORTED, monitor)


def _release(conn: Connection, flow: Flow, monitor: Monitor) -> None:
    """Takes capture off the source, if that is still there."""

    def take_off(side: Side) -> None:
        _hold(conn, flow.rollout)
        if _as_it_is_called(conn, side) != side:
            raise _Moved
        _run(conn, drop_trigger_statements(flow, side))

    for left in range(FOLLOWED - 1, -1, -1):
        side = _as_it_is_called(conn, flow.active)
        if side is None:
            return
        try:
            _drop(conn, f"take capture off {side.name}", side, partial(take_off, side), monitor)
            return
        except (_Moved, psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            if not left:
                raise


def finish(conn: Connection, rollout: Rollout, monitor: Monitor) -> Rollout:
    """Drops old and the capture; the record stays."""
    reverse = flow_of(rollout, Direction.REVERSE)
    refuse_dependents(conn, rollout)

    def end_capture() -> None:
        _hold(conn, rollout)  # a rollback may have come first
        _run(conn, sleep_statements(reverse))
        store.event(conn, rollout.id, "finishing")  # from here on old falls behind: only finish goes on

    _drop(
        conn,
        f"end capture on {reverse.active.name}",
        reverse.active,
        end_capture,
        monitor,
    )
    _bare_chunks(conn, reverse, monitor)
    _drop(
        conn,
        f"take capture off {reverse.active.name}",
        reverse.active,
        lambda: _run(conn, drop_trigger_statements(reverse, reverse.active)),
        monitor,
    )
    return _end(conn, rollout, Phase.FINISHED, monitor)


def _bare_chunks(conn: Connection, reverse: Flow, monitor: Monitor, *, strays: bool = False) -> None:
    """Takes the triggers, which do nothing any more, off one chunk after the other, each in a transaction of its own; off what
    was a chunk and was detached as well, or off this alone (`strays`), where the chunks are dropped with their hypertable.

    All at once would need every chunk's lock together: under constant autovacuum, or where readers come and go, they are never
    to be had. What is left (a chunk made meanwhile) goes with the hypertable's own triggers.
    """
    query = load_queries(__package__, "ending.sql")["chunks_with"]
    params = {
        "oid": reverse.active.oid,
        "names": list(trigger_names(reverse)),
        "functions": list(function_names(reverse)),
        "strays": strays,
    }
    for oid, schema, name in fetch_all(conn, query, params):
        chunk = Side(TableName(schema, name), int(oid), hypertable=False)
        # Gone, where somebody drops it meanwhile: retention, say.
        with suppress(psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            _drop(
                conn,
                f"take capture off {chunk.name}",
                chunk,
                partial(_run, conn, drop_trigger_statements(reverse, chunk)),
                monitor,
            )


def _end(conn: Connection, rollout: Rollout, phase: Phase, monitor: Monitor) -> Rollout:
    """Drops what is left of ours, and notes it, in one transaction. The parked table may have readers: it comes first."""
    parked = _parked(rollout)
    tables = [parked, *objects.table_names(rollout)]

    def work() -> Rollout:
        with conn.transaction():
            not_held_by_the_gone(conn)
            if rollout.hypertable_oid is not None:
                keep_autovacuum_off(conn, [*tables, *_hidden(conn, rollout)])
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
        conn,
        what,
        tables,
        work,
        chunks=True,
        should_stop=monitor.should_stop,
        on_failure=telling(monitor, what),
    )


def _hidden(conn: Connection, rollout: Rollout) -> list[TableName]:
    """The tables that hold the compressed rows of a shadow that is to be dropped: its autovacuums are theirs too."""
    if rollout.plan.compression is None or rollout.phase.hypertable_serves:
        return []
    query = load_queries(__package__, "ending.sql")["hidden"]
    return [TableName(*row) for row in fetch_all(conn, query, {"oid": rollout.hypertable_oid})]


def _parked(rollout: Rollout) -> TableName:
    """The table that is not in use: old while the hypertable serves, else the shadow."""
    return rollout.names.old if rollout.phase.hypertable_serves else rollout.names.shadow


def refuse_dependents(conn: Connection, rollout: Rollout) -> None:
    """Nothing of anybody else's may hang on old: dropping it would take that along."""
    old = rollout.names.old
    found = fetch_value(conn, load_queries(__package__, "ending.sql")["dependents"], {"table": old.quoted})
    if found:
        raise Refused(
            f"Something still depends on {old}, which finish would drop.",
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
    # Its readers are locked out: nobody but an autovacuum can be in the way.
    outlast_toast_vacuum(conn, parked, *_hidden(conn, rollout))
    execute(conn, sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(parked.schema, parked.name)))
    for flow in (forward, reverse):
        _run(conn, drop_function_statements(flow))
    _run(conn, objects.drop_statements(forward))
    for schema in (names.new_schema, names.old_schema):
        execute(conn, sql.SQL("DROP SCHEMA IF EXISTS {}").format(sql.Identifier(schema)))
    execute(conn, "DELETE FROM hyperferry.expectation WHERE rollout_id = %s", [rollout.id])
    _revoke_usage(conn)


def _revoke_usage(conn: Connection) -> None:
    """An owner's right on the ledger's schema goes with the last function there that he may execute."""
    execute(conn, schema_lock().sql)  # first: of two that end at once, the later sees that the earlier's functions are gone
    for (owner,) in fetch_all(conn, load_queries(__package__, "ending.sql")["usage_not_needed"]):
        execute(conn, sql.SQL("REVOKE USAGE ON SCHEMA hyperferry FROM {}").format(sql.Identifier(owner)))
