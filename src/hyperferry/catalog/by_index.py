"""The facts of the pass over the rows without the pass: by probes of an index on the time, a few for each chunk-to-be.

Exact but for the number of rows, which is what the statistics say, by the pages that the table has by now.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from ..db import execute, fetch_one, load_queries
from ..db.connection import Connection
from ..model.inspection import Column, ScanFacts, TableFacts
from .buckets import INTEGERS, MOMENTS, behind_bucket, bucket_of, least_distance, position_of

KINDS = (MOMENTS | INTEGERS.keys()) - {"pg_catalog.uuid"}
"""The types whose order is that of their buckets, and known to a btree index."""
ROWS = 200_000
"""A table of so many rows is looked at through its index: a pass over fewer takes about 0.1 s (0.46 µs a row, measured)."""
BYTES = 150_000_000
"""So is a table of so many bytes, however few rows they are: a slow disk reads them in a second."""
PROBES = 20_000
"""Buckets to look for in the index at most: each may read a page or two, and so many chunks are too many anyway."""
EDGE_ROWS_PER_SECOND = 250_000
"""Rows of the edges counted in a second through an index, cautiously: their pages may have to be visited."""

# Anything but a probe of the index would read the table for each bucket.
_ALONG_INDEX = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "enable_indexscan": "on",
    "enable_indexonlyscan": "on",
    "jit": "off",
}


@dataclass(frozen=True)
class Prospect:
    """That the index may serve: its NULLs come first when it is read upwards, and the table has about so many rows."""

    nulls_first: bool
    rows: int

    @property
    def seconds(self) -> float:
        """How long it will take, roughly: what grows with the table are the rows left out at the edges."""
        return 0.002 * self.rows / EDGE_ROWS_PER_SECOND


def rows_by_statistics(counted: float, pages_then: int, pages_now: float) -> int | None:
    """Rows by what was last counted (pg_class.reltuples and relpages), scaled by the pages of now, as PostgreSQL's planner does.
    None where nothing was."""
    if counted <= 0 or pages_then <= 0:
        return None
    return round(counted / pages_then * pages_now)


def prospect(conn: Connection, table: TableFacts, column: Column) -> Prospect | None:
    """Whether an index may spare the pass over the rows: there is one, the rows are many and their number is about known."""
    if column.base_type not in KINDS or table.relkind not in ("r", "m"):
        return None
    row = fetch_one(conn, _query("prospect"), {"oid": table.oid, "column": column.number})
    if row is None or row[0] is None:
        return None
    rows = rows_by_statistics(row[1], row[2], row[3])
    if rows is None or (rows < ROWS and row[4] < BYTES):
        return None
    return Prospect(row[0], rows)


def along_index(
    conn: Connection, table: TableFacts, column: Column, width: float, interval: str, found: Prospect
) -> ScanFacts | None:
    """What the pass over the rows would say, but for the number of rows; in one statement, under ACCESS SHARE. `seconds` is 0.

    None where the rows lie in too many buckets, or are far fewer than the statistics say.
    """
    with conn.transaction():
        keep_to_index(conn)
        row = fetch_one(conn, _statement(table, column, width, found))
    if row is None or not row[0]:
        return None
    return ScanFacts(
        rows=row[1],
        nulls=row[2],
        infinite=row[3],
        minimum=row[4],
        maximum=row[5],
        buckets=row[6],
        far_rows=row[7],
        far_examples=tuple(row[8]),
        check_violations=(),
        seconds=0.0,
        interval=interval,
        far_buckets=row[9],
        rows_exact=False,
    )


def keep_to_index(conn: Connection) -> None:
    """Has the planner use indexes, and no sort, until the transaction ends."""
    execute(conn, "; ".join(f"SET LOCAL {name} = {value}" for name, value in _ALONG_INDEX.items()))


def _statement(table: TableFacts, column: Column, width: float, found: Prospect) -> sql.Composed:
    kind = column.base_type
    parts = {
        "table": sql.Identifier(table.name.schema, table.name.name),
        "time": sql.Identifier(column.name),
    }
    value = sql.SQL("s.value")
    if kind in INTEGERS:
        finite, below = sql.SQL("x.{time} IS NOT NULL"), sql.SQL("x.{time} IS NOT NULL")
        up_to_following = sql.SQL("x.{time} <= COALESCE(f.following::int8 - 1, 9223372036854775807)")
        infinite = sql.SQL("0::bigint")
    else:
        finite, below = (
            sql.SQL("x.{time} > '-infinity' AND x.{time} < 'infinity'"),
            sql.SQL("x.{time} < 'infinity'"),
        )
        up_to_following = sql.SQL("x.{time} < COALESCE(f.following, 'infinity')")
        infinite = sql.SQL(
            "((SELECT count(*) FROM ONLY {table} AS x WHERE x.{time} = '-infinity') + "
            "(SELECT count(*) FROM ONLY {table} AS x WHERE x.{time} = 'infinity'))"
        )
    first, last = sql.SQL("NULLS FIRST"), sql.SQL("NULLS LAST")
    return _query("along_index").format(
        **parts,
        finite=finite.format(**parts),
        below=below.format(**parts),
        up_to_following=up_to_following.format(**parts),
        infinite=infinite.format(**parts),
        upwards=sql.SQL("ASC {}").format(first if found.nulls_first else last),
        downwards=sql.SQL("DESC {}").format(last if found.nulls_first else first),
        behind=behind_bucket(value, kind, width),
        bucket=bucket_of(position_of(value, kind), width),
        least_distance=sql.Literal(least_distance(kind, width)),
        rows=sql.Literal(found.rows),
        probes=sql.Literal(PROBES),
    )


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "by_index.sql")[name]
