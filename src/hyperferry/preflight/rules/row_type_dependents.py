"""What depends on the row type would keep the old table."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """What depends on the row type would keep the old table."""
    table = inspection.table
    for dependent in inspection.dependents:
        if "rowtype" in dependent.via:  # of the table's own row type; a view keeps its
            yield blocker(
                f"The {dependent.kind} {dependent.identity} depends on the row type of {table.name}; it "
                "would go on with the old table's.",
                "drop it before the rollout and create it again after the cutover, or have it name the "
                "columns instead of the whole row.",
                only=BLUE_GREEN,
            )
