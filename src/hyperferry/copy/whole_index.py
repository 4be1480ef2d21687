"""Whether the index by which the source is read has every row: copy and verification both read by it, and neither would miss one.

An index can lack rows (PostgreSQL 14.0 to 14.3 built such ones CONCURRENTLY, and so can a broken disk); whoever reads the table
by another way still has them, until the old table is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from ..db import execute, fetch_all, fetch_value, load_queries
from ..db.connection import Connection
from ..ledger.flow import Flow
from ..ledger.objects import range_fields
from ..ledger.transaction import flow_transaction
from .batches import Bound

SECONDS = 20
"""So long each of the two counts may take; a table that takes longer is not looked at."""
MOST_PAGES = 4_000_000
"""Of so many pages at the most a bitmap of every row is made."""
BYTES_OF_PAGE = 80
"""What a bitmap needs for a page (64) and some room; with less than that for each it gives whole pages (nodes/tidbitmap.c)."""
VISIBLE = 0.9
"""From this part of all-visible pages on the index alone is read: for the others it fetches each row."""
_WHOLE = {"enable_bitmapscan": "off", "enable_indexscan": "off", "enable_indexonlyscan": "off"}
_BY_BITMAP = {"enable_bitmapscan": "on", "enable_seqscan": "off"}
_BY_INDEX = {"enable_seqscan": "off", "enable_indexscan": "on", "enable_indexonlyscan": "on"}


def rows_that_it_lacks(conn: Connection, flow: Flow, bounds: Sequence[Bound]) -> int | None:
    """How many rows the table has that its index (on the time, else the key) does not give, at one snapshot, looked for on both
    sides of the first of the boundaries; 0 where there is none, as the table is read whole then; None where to count them takes
    longer than SECONDS, or no plan gives the rows of that index alone. Raises what `flow_transaction` raises."""
    if not bounds:
        return 0
    queries = load_queries(__package__, "batches.sql")
    field = range_fields(flow)[0]
    statement = queries["known_rows"].format(
        table=flow.active.ident,
        column=field.of_row("s"),
        value=sql.SQL("{}::{}").format(sql.Literal(bounds[0][0]), field.type),
    )
    settings = {"jit": "off", "statement_timeout": f"{SECONDS}s"}
    try:
        with flow_transaction(conn, flow, snapshot=True, settings=settings):
            _set(conn, _WHOLE)
            whole = int(fetch_value(conn, statement))
            for way in _ways(conn, flow):
                _set(conn, way)
                if _leads(conn, flow, statement, field.label):
                    return abs(whole - int(fetch_value(conn, statement)))
    except psycopg.errors.QueryCanceled:
        pass
    return None


def _ways(conn: Connection, flow: Flow) -> Iterator[Mapping[str, str]]:
    """How the index can be counted by, the best first: alone where most pages are all visible, by a bitmap that has room for
    every page."""
    [(pages, visible)] = fetch_all(conn, load_queries(__package__, "batches.sql")["visible_pages"], {"oid": flow.active.oid})
    if visible >= VISIBLE * pages:
        yield _BY_INDEX
    if pages <= MOST_PAGES:
        yield {**_BY_BITMAP, "work_mem": f"{pages * BYTES_OF_PAGE // 1024 + 1024}kB"}


def _set(conn: Connection, way: Mapping[str, str]) -> None:
    for name, value in way.items():
        execute(conn, sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value)))


def _leads(conn: Connection, flow: Flow, statement: sql.Composed, column: str) -> bool:
    """Whether the statement is answered by indexes alone that begin with the column: another one may well have every row."""
    plan = fetch_value(conn, sql.SQL("EXPLAIN (FORMAT JSON) {}").format(statement))[0]["Plan"]
    nodes = list(_nodes(plan))
    used = {node["Index Name"] for node in nodes if "Index Name" in node}
    if not used or any(node["Node Type"] == "Seq Scan" for node in nodes):
        return False
    queries = load_queries(__package__, "batches.sql")
    given = {"oid": flow.active.oid, "column": column, "names": sorted(used)}
    return bool(fetch_value(conn, queries["lead"], given))


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
