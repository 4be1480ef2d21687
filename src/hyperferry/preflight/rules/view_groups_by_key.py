"""A view that groups by the primary key and shows other columns needs exactly that key."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker

BOUND = ("function", "procedure", "rule", "policy")


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A view that groups by the primary key and shows other columns needs exactly that key."""
    key = next((index for index in inspection.indexes if index.primary), None)
    if key is None or inspection.time_column in [column.column for column in key.columns]:
        return
    columns = ", ".join(column.expression for column in key.columns)
    for dependent in inspection.dependents:
        if "key" in dependent.via and dependent.kind in BOUND:
            yield blocker(
                f"The {dependent.kind} {dependent.identity} relies on a key of {inspection.table.name} "
                "(GROUP BY with columns that depend on the key, or ON CONFLICT ON CONSTRAINT); the keys are widened on a "
                "hypertable.",
                "list every column in its GROUP BY, and the columns of a key that holds "
                f"{inspection.time_column} in its ON CONFLICT.",
            )
        elif "key" in dependent.via and dependent.kind in ("view", "materialized view"):
            yield blocker(
                f"The {dependent.kind} {dependent.name} groups by the primary key ({columns}) and shows "
                "columns that depend on it. "
                "The key is widened, so the server will refuse the view on a hypertable.",
                f"list every shown column of {inspection.table.name} in its GROUP BY; that works today as "
                "well: "
                f"CREATE OR REPLACE VIEW {dependent.name.quoted} AS ...;",
                accept="view-groups-by-key",
            )
