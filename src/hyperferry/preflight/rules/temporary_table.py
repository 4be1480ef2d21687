"""A temporary table cannot be a hypertable."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A temporary table cannot be a hypertable."""
    if inspection.table.persistence == "t":
        yield blocker(
            f"{inspection.table.name} is a temporary table.",
            "create it as an ordinary table: CREATE TABLE ... AS TABLE ...;",
        )
