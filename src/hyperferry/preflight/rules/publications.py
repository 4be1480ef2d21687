"""A hypertable cannot be published."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A hypertable cannot be published."""
    table = inspection.table.name
    for name in inspection.replication.publications:
        yield blocker(
            f"The publication {name} publishes {table} or its schema. Rows of a hypertable are in its "
            "chunks, and new chunks would not be "
            "published; TimescaleDB refuses the table.",
            f"ALTER PUBLICATION {quote_ident(name)} DROP TABLE {table.quoted}; "
            f"(for a schema's: DROP TABLES IN SCHEMA {quote_ident(table.schema)})",
        )
