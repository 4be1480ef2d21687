"""Logical replication cannot write into a hypertable."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Logical replication cannot write into a hypertable."""
    for name in inspection.replication.subscriptions:
        yield blocker(
            f"The subscription {name} writes into {inspection.table.name}; logical replication cannot "
            "write into a hypertable.",
            "on the publisher take the table out of the publication, then here: ALTER SUBSCRIPTION "
            f"{quote_ident(name)} REFRESH PUBLICATION;",
        )
    for name in inspection.replication.other_replication:
        yield blocker(
            f"{name} replicates into this server. What it writes fires no trigger by statement, so it would not be captured, "
            f"and whether it writes into {inspection.table.name} cannot be seen from here.",
            "end that replication, and drop its origin: SELECT pg_replication_origin_drop('NAME'); or move the table where its "
            "rows are written first.",
        )
