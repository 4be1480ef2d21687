"""Views are pointed at the hypertable in the cutover."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, listed, note


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Views are pointed at the hypertable in the cutover."""
    views = [
        dependent for dependent in inspection.dependents if dependent.kind == "view" and dependent.direct
    ]
    if views:
        yield note(
            "CREATE OR REPLACE VIEW points these at the hypertable in the cutover, with their grants and "
            f"options: {listed(view.name for view in views)}.",
            "nothing.",
            only=BLUE_GREEN,
        )
