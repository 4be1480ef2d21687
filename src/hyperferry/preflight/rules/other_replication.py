"""Replication by pglogical, spock or BDR into this database, whose writes are not captured."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import listed, warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Replication by pglogical, spock or BDR into this database, whose writes are not captured."""
    found = inspection.replication.other_replication
    if found:
        yield warning(
            f"{listed(found)}: an extension replicates into this server. What it writes fires no trigger by statement, so it "
            f"would not be captured, and whether it writes into {inspection.table.name} cannot be seen from here.",
            "make sure that it does not (take the table out of its replication set, or move it where its rows are written "
            "first), then cut over with --accept other-replication.",
            accept="other-replication",
        )
