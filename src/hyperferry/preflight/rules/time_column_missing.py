"""The time column has to be there."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker, listed


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """The time column has to be there."""
    if inspection.time is None:
        columns = listed(f"{column.name} {column.type_sql}" for column in inspection.columns)
        yield blocker(
            f"{inspection.table.name} has no column {inspection.time_column!r}. Its columns: "
            f"{columns or 'none'}.",
            "name one of them with --time (exactly, without SQL's quotes).",
        )
