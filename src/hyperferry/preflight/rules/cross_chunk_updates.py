"""An UPDATE that moves a row to another chunk fails."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import listed, warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """An UPDATE that moves a row to another chunk fails."""
    found = [
        *inspection.statements.time_updates,
        *(f"function {name}" for name in inspection.statements.time_update_functions),
    ]
    if found:
        yield warning(
            f"{inspection.time_column} is updated by: {listed((text[:200] for text in found), 5)}. On a "
            "hypertable an UPDATE that moves "
            "a row into another chunk fails on that chunk's CHECK.",
            "have the application DELETE and INSERT such rows in one transaction, then cut over with "
            "--accept cross-chunk-updates.",
            accept="cross-chunk-updates",
        )
