"""In what order a table's rows lie: whether a range of the time is a part of the table, or is all over it.

Who reads a table whose rows are scattered by ranges of the time reads every page again for each range, from the disk where the
table is larger than the memory.
"""

from __future__ import annotations

from psycopg import sql

from ..db import fetch_all, fetch_value, load_queries
from ..db.connection import Connection
from ..model.inspection import Column, ScanFacts, TableFacts
from ..model.plan_options import DEFAULT_BATCH_ROWS
from .buckets import INTEGERS, bucket_of, moment_of, position_of

SAMPLED_PAGES = 500
"""So many pages are looked at."""
IN_ORDER = 0.9
"""A column whose correlation (pg_stats) is so much at least, upwards or downwards, lies in its order."""


def ranges_on_page(conn: Connection, table: TableFacts, column: Column, width: float, facts: ScanFacts) -> float | None:
    """In how many batches the rows of a page lie, on average, if the table is cut by the time. A batch of DEFAULT_BATCH_ROWS rows
    is taken to be as wide as the intervals (of `width`, in seconds or units) that so many of the scan's rows lie in. None where
    it is not known: for types without arithmetic, and for a table of so few batches, or so small (effective_cache_size), that it
    does not matter. Reads SAMPLED_PAGES pages under ACCESS SHARE."""
    if facts.rows < 2 * DEFAULT_BATCH_ROWS or column.base_type == "pg_catalog.uuid" or table.relkind != "r":
        return None
    name = sql.Identifier("s", column.name)
    finite: sql.Composable = sql.SQL("{} IS NOT NULL").format(name)
    if column.base_type not in INTEGERS:
        moment = sql.SQL("date") if column.base_type == "pg_catalog.date" else moment_of(column.base_type)
        finite = sql.SQL("isfinite({}::{})").format(name, moment)
    batch_width = width * max(1, facts.buckets) * DEFAULT_BATCH_ROWS / facts.rows
    queries = load_queries(__package__, "scatter.sql")
    pages, cached = fetch_all(conn, queries["pages"], {"oid": table.oid})[0]
    if pages <= cached:
        return None
    statement = queries["ranges_on_pages"].format(
        bucket=bucket_of(position_of(name, column.base_type), batch_width),
        table=sql.Identifier(table.name.schema, table.name.name),
        finite=finite,
        percent=sql.Literal(min(100.0, 100.0 * SAMPLED_PAGES / max(1, pages))),
    )
    found = fetch_value(conn, statement)
    return None if found is None else float(found)


def columns_in_order(conn: Connection, table: TableFacts) -> tuple[str, ...]:
    """The columns whose values lie in their order in the table, or against it, by the statistics; none that were never made."""
    query = load_queries(__package__, "scatter.sql")["in_order"]
    params = {"schema": table.name.schema, "name": table.name.name, "least": IN_ORDER}
    return tuple(str(name) for (name,) in fetch_all(conn, query, params))
