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
