"""Which tables are compared: where the application's name leads, and what the rollout has beside it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from psycopg import sql

from .. import catalog
from ..catalog.table import columns as table_columns
from ..db import fetch_all, fetch_one, fetch_value, load_queries, patient_read
from ..db.connection import Connection
from ..errors import Refused, Usage
from ..ledger import store
from ..model.names import TableName, quoted_if_needed
from ..model.rollout import Phase, Rollout
from .options import BenchOptions, Index, Side
from .views import View

PLAIN, HYPERTABLE = "plain table", "hypertable"


def query(name: str) -> sql.SQL:
    """A statement of `benchmark.sql`."""
    return load_queries(__package__, "benchmark.sql")[name]


def sides(conn: Connection, options: BenchOptions) -> tuple[Side | None, Side]:
    """Before (None: there is nothing to compare with) and after.

    Raises Usage for what is no table, Refused where the hypertable does not hold the rows yet.
    """
    oid, table = catalog.resolve_table(conn, options.table)
    return patient_read(conn, f"look at {table}", [table], partial(_sides, conn, options, oid, table))


def _sides(conn: Connection, options: BenchOptions, oid: int, table: TableName) -> tuple[Side | None, Side]:
    alone = options.alone or options.against is not None
    rollout = _rollout(conn, table, alone)
    known = {column.name for column in table_columns(conn, oid)}
    time_column = options.time_column
    if time_column is not None and time_column not in known:
        raise Usage(
            f"{table} has no column {quoted_if_needed(time_column)}.",
            facts={"columns": ", ".join(quoted_if_needed(name) for name in sorted(known))},
            remedy="name the time column with --time.",
        )
    if rollout is not None and rollout.plan.time_column in known and (time_column is None or not alone):
        time_column = rollout.plan.time_column
    named = _side(conn, oid, table, time_column)
    if alone or rollout is None or rollout.phase.ended:
        return None, named
    return _pair(conn, rollout, named)


def _rollout(conn: Connection, table: TableName, alone: bool) -> Rollout | None:
    """The table's newest rollout; None where a role may not see the ledger and does not need to."""
    try:
        return next(iter(store.latest(conn, table)), None)
    except Refused:
        if not alone:
            raise
        return None


def views(conn: Connection, oid: int) -> tuple[View, ...]:
    """The views on the table, and on such views."""
    found = catalog.dependents(conn, oid)
    return tuple(
        View(each.name, each.oid, each.definition, each.depth, any("security_barrier" in option for option in each.options))
        for each in found
        if each.kind == "view" and each.definition is not None
    )


def _pair(conn: Connection, rollout: Rollout, named: Side) -> tuple[Side | None, Side]:
    if rollout.phase in (Phase.PLANNED, Phase.PREPARED, Phase.COPYING) or rollout.hypertable_oid is None:
        raise Refused(
            f"The rollout of {rollout.table} is in phase {rollout.phase}: its hypertable does not hold the rows yet.",
            remedy="run `hyperferry start TABLE` until it is synced; or measure the table alone with --alone --save FILE.",
        )
    there = rollout.hypertable_oid if rollout.phase is Phase.CUT_OVER else rollout.source_oid
    if named.oid != there:
        raise Refused(
            f"{rollout.table} is another table than the one that its rollout is about.",
            facts={"phase": rollout.phase, "OID now": named.oid, "OID in the rollout": there},
            remedy="give that table its name back; or measure what has the name now with --alone.",
        )
    names, time_column = rollout.names, rollout.plan.time_column
    if rollout.phase is Phase.CUT_OVER:
        old = _side(conn, rollout.source_oid, names.old, time_column)
        return replace(old, schema=names.old.schema), named
    shadow = _side(conn, rollout.hypertable_oid, names.shadow, time_column)
    return named, replace(shadow, schema=names.shadow.schema)


def _side(conn: Connection, oid: int, name: TableName, time_column: str | None) -> Side:
    row = fetch_one(conn, query("relation"), {"oid": oid})
    if row is None or row[0] not in ("r", "m"):
        raise Usage(
            f"{name} is not a table with rows of its own.",
            facts={"relkind": row[0] if row is not None else "it is gone"},
            remedy="name the table itself.",
        )
    place = {"schema": name.schema, "name": name.name}
    dimension = fetch_one(conn, query("dimension"), place) if fetch_value(conn, query("timescaledb")) else None
    indexes = tuple(Index(str(n), str(t), str(d)) for n, t, d in fetch_all(conn, query("indexes"), {"oid": oid}))
    if dimension is None:
        return Side(PLAIN, name, oid, int(row[1]), time_column, indexes=indexes, never_analyzed=0 if row[3] else 1)
    chunks = fetch_all(conn, query("chunks"), place)
    return Side(
        HYPERTABLE,
        name,
        oid,
        rows=-1 if any(chunk[3] for chunk in chunks) else sum(max(0, int(chunk[1])) for chunk in chunks),
        time_column=str(dimension[0]),
        chunks=frozenset(str(chunk[0]) for chunk in chunks),
        chunk_count=len(chunks),
        chunk_interval=dimension[1],
        range_width=dimension[2],
        indexes=indexes,
        never_analyzed=sum(1 for chunk in chunks if not chunk[2]),
    )
