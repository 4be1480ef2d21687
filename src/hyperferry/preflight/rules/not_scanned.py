"""Without reading the rows, what depends on them is not known."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import note, size


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Without reading the rows, what depends on them is not known."""
    if inspection.scan is None and inspection.time is not None and inspection.table.kind == "table":
        yield note(
            f"The rows of {inspection.table.name} ({size(inspection.table.heap_bytes)}) were not read: "
            "NULL and infinite times, "
            "outliers, the number of chunks and violated checks are not known.",
            "run preflight with the scan, as a role that may read all rows.",
        )
