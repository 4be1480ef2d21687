"""A publication FOR ALL TABLES publishes hypertables too, which does not work."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A publication FOR ALL TABLES publishes hypertables too, which does not work."""
    for name in inspection.replication.all_tables_publications:
        yield blocker(
            f"The publication {name} is FOR ALL TABLES; TimescaleDB makes no hypertable in a database "
            "that has one (from 2.20), "
            "and new chunks would not be published.",
            f"DROP PUBLICATION {quote_ident(name)}; CREATE PUBLICATION {quote_ident(name)} FOR TABLE ...; "
            "(name the tables, without this one)",
        )
