"""A hypertable has no chunk for infinity."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker, rows


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A hypertable has no chunk for infinity."""
    column, scan = inspection.time, inspection.scan
    if column is not None and scan is not None and scan.infinite:
        table, name = inspection.table.name.quoted, quote_ident(column.name)
        yield blocker(
            f"{rows(scan.infinite)} of {scan.about}{scan.rows:,} have an infinite {column.name}; a hypertable refuses "
            "them.",
            f"give them a real time or delete them: SELECT * FROM {table} WHERE NOT isfinite({name});",
        )
