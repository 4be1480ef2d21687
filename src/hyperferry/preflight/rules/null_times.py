"""A hypertable has no row without a time."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker, rows, warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A hypertable has no row without a time."""
    column, scan = inspection.time, inspection.scan
    if column is None:
        return
    table, name = inspection.table.name.quoted, quote_ident(column.name)
    if scan is not None and scan.nulls:
        yield blocker(
            f"{rows(scan.nulls)} of {scan.about}{scan.rows:,} have no {column.name}; a hypertable refuses them.",
            f"give them one or delete them: SELECT * FROM {table} WHERE {name} IS NULL; "
            f"then keep new ones out: ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL;",
        )
    elif not column.not_null:
        yield warning(
            f"{column.name} may be NULL today; on the hypertable it is NOT NULL, and such an INSERT fails.",
            f"have PostgreSQL refuse it today: ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL;",
        )
