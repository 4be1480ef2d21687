"""TimescaleDB advises timestamptz."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import note


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """TimescaleDB advises timestamptz."""
    column = inspection.time
    if column is not None and column.base_type == "pg_catalog.timestamp":
        yield note(
            f"{column.name} is {column.type_sql}: chunk borders are counted as if it were UTC, and "
            "policies compare it "
            "with the local time of the job's session.",
            "nothing, if all writers mean UTC.",
        )
