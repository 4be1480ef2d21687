"""Times far from all others are mostly mistakes, and each makes a chunk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ...model.finding import Finding
from ...model.inspection import Column, Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker, listed, rows, warning

MOMENTS = ("pg_catalog.date", "pg_catalog.timestamp", "pg_catalog.timestamptz")
# TimescaleDB counts microseconds from 1970 in 64 bits, PostgreSQL from 2000.
TOO_LATE = 294247
# So many chunks for rows that are most likely mistakes refuse the rollout.
MANY = 1_000


def _year(text: str) -> int:
    match = re.match(r"\d+", text)
    return int(match[0]) if match and not text.endswith("BC") else 0


def _among(column: Column, values: Sequence[str]) -> str:
    """The condition that the column has one of the values, which are read as its type in whatever time zone a session has; of a
    uuid they are the moments in it."""
    name, type_sql = quote_ident(column.name), column.type_sql
    if column.base_type == "pg_catalog.uuid":
        type_sql = "timestamp with time zone"
        name = f"to_timestamp(('x' || left(replace({name}::text, '-', ''), 12))::bit(48)::bigint / 1000.0)"
    return f"{name} IN (" + ", ".join(f"'{value}'::{type_sql}" for value in values) + ")"


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Times far from all others are mostly mistakes, and each makes a chunk."""
    column, scan = inspection.time, inspection.scan
    if column is None or scan is None:
        return
    table, name = inspection.table.name.quoted, quote_ident(column.name)
    beyond = [
        value
        for value in (scan.maximum,)
        if value and column.base_type in MOMENTS and _year(value) >= TOO_LATE
    ]
    if beyond:
        yield blocker(
            f"{column.name} goes up to {beyond[0]}; TimescaleDB ends in the year {TOO_LATE}.",
            f"SELECT * FROM {table} WHERE {name} >= '{TOO_LATE}-01-01';",
        )
    if not scan.far_rows:
        return
    message = (
        f"{rows(scan.far_rows)} of {scan.about}{scan.rows:,} lie far from the rest in {column.name} and make "
        f"{scan.far_buckets:,} chunks of "
        f"{scan.interval} of their own: {listed(scan.far_examples)}."
    )
    among = _among(column, scan.far_examples)
    remedy = f"look at them, and correct or delete what is a mistake: SELECT * FROM {table} WHERE {among};"
    yield blocker(message, remedy) if scan.far_buckets > MANY else warning(message, remedy)
