"""Time is an integer, date, timestamp, timestamptz or, from TimescaleDB 2.22, a UUIDv7."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker, rows

UUID = "pg_catalog.uuid"
PLAIN = {
    "pg_catalog.int2": "smallint",
    "pg_catalog.int4": "integer",
    "pg_catalog.int8": "bigint",
    "pg_catalog.date": "date",
    "pg_catalog.timestamp": "timestamp without time zone",
    "pg_catalog.timestamptz": "timestamp with time zone",
}
TYPES = PLAIN.keys()
# With a precision it is timestamp(3) with time zone.
NAMES = {
    *PLAIN.values(),
    *(f"timestamp({p}) {zone} time zone" for p in range(7) for zone in ("with", "without")),
}


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Time is an integer, date, timestamp, timestamptz or, from TimescaleDB 2.22, a UUIDv7."""
    column = inspection.time
    if column is None:
        return
    change = f"ALTER TABLE {inspection.table.name.quoted} ALTER COLUMN {quote_ident(column.name)} TYPE"
    if column.base_type == UUID:
        version = inspection.server.timescaledb_installed
        match = re.match(r"(\d+)\.(\d+)", version or "")
        if match is None or (int(match[1]), int(match[2])) < (2, 22):
            yield blocker(
                f"{column.name} is a uuid, which can be the time column from TimescaleDB 2.22; this is "
                f"{version}.",
                "upgrade TimescaleDB, or name another column with --time.",
            )
        scan = inspection.scan
        if scan is not None and scan.not_uuid_v7:
            yield blocker(
                f"{rows(scan.not_uuid_v7)} of {scan.about}{scan.rows:,} have a {column.name} that is no UUIDv7, so it "
                "carries no time.",
                f"SELECT * FROM {inspection.table.name.quoted} WHERE "
                f"substr({quote_ident(column.name)}::text, 15, 1) <> '7';",
            )
    elif column.base_type not in TYPES:
        yield blocker(
            f"{column.name} is {column.type_sql}, by which a hypertable cannot be partitioned "
            "(integers, date, timestamp, timestamptz and UUIDv7 can).",
            f"name another column with --time, or: {change} timestamp with time zone; (rewrites the table)",
        )
    elif column.type_sql not in NAMES:
        yield blocker(
            f"{column.name} is of the domain {column.type_sql} over "
            f"{column.base_type.removeprefix('pg_catalog.')}; "
            "TimescaleDB refuses domains.",
            f"{change} {PLAIN[column.base_type]};",
        )
