"""Without statistics the number of rows is not known."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import note


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Without statistics the number of rows is not known."""
    table = inspection.table
    if table.kind == "table" and table.estimated_rows < 0:
        yield note(
            f"{table.name} was never analyzed, so the number of its rows is not estimated.",
            f"ANALYZE {table.name.quoted};",
        )
