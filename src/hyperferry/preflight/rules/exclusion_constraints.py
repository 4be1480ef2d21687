"""An exclusion constraint of a hypertable has to contain the time column."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """An exclusion constraint of a hypertable has to contain the time column."""
    for constraint in inspection.constraints:
        if constraint.kind == "x" and inspection.time_column not in constraint.columns:
            yield blocker(
                f"The exclusion constraint {constraint.name} ({constraint.definition}) does not contain "
                f"{inspection.time_column}; "
                "it could be enforced only within a chunk, so hypertables refuse it.",
                f"ALTER TABLE {inspection.table.name.quoted} DROP CONSTRAINT {quote_ident(constraint.name)}; "
                f"or make {quote_ident(inspection.time_column)} WITH = a part of it.",
            )
