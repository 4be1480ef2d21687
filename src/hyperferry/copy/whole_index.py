"""Whether the index by which the source is read has every row: copy and verification both read by it, and neither would miss one.

An index can lack rows (PostgreSQL 14.0 to 14.3 built such ones CONCURRENTLY, and so can a broken disk); whoever reads the table
by another way still has them, until the old table is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from ..db import execute, fetch_value, load_queries
from ..db.connection import Connection
from ..ledger.flow import Flow
from ..ledger.objects import range_fields
from ..ledger.transaction import flow_transaction
from .batches import Bound

SECONDS = 20
"""So long each of the two counts may take; a table that takes longer is not looked at."""
_WHOLE = {"enable_bitmapscan": "off", "enable_indexscan": "off", "enable_indexonlyscan": "off"}
_BY_INDEX = {"enable_bitmapscan": "on", "enable_seqscan": "off"}  # as batches and ranges are read


def rows_that_it_lacks(conn: Connection, flow: Flow, bounds: Sequence[Bound]) -> int | None:
    """How many rows the table has that its index (on the time, else the key) does not give, at one snapshot, looked for on both
    sides of the first of the boundaries; 0 where there is none, as the table is read whole then; None where to count them takes
    longer than SECONDS. Raises what `flow_transaction` raises."""
    if not bounds:
        return 0
    field = range_fields(flow)[0]
    statement = load_queries(__package__, "batches.sql")["known_rows"].format(
        table=flow.active.ident,
        column=field.of_row("s"),
        value=sql.SQL("{}::{}").format(sql.Literal(bounds[0][0]), field.type),
    )
    counts = []
    settings = {"jit": "off", "statement_timeout": f"{SECONDS}s"}
    try:
        with flow_transaction(conn, flow, snapshot=True, settings=settings):
            for way in (_WHOLE, _BY_INDEX):
                for name, value in way.items():
                    execute(conn, sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value)))
                counts.append(int(fetch_value(conn, statement)))
    except psycopg.errors.QueryCanceled:
        return None
    return abs(counts[0] - counts[1])
