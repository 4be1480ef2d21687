"""A materialized view of the table itself cannot be pointed at the hypertable."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Dependent, Inspection
from ...model.names import TableName
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker

LONGEST_NAME = 63


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A materialized view of the table itself cannot be pointed at the hypertable."""
    for dependent in inspection.dependents:
        if dependent.direct and dependent.kind == "materialized view" and "rowtype" not in dependent.via:
            yield blocker(
                f"The materialized view {dependent.name} reads {inspection.table.name} itself, has no CREATE OR "
                "REPLACE, and would go on reading the old table.",
                "have it read a view, which the cutover can point at the hypertable; once, in a transaction, with its "
                "indexes, grants and "
                f"comments made again: {_detour(dependent)}",
                only=BLUE_GREEN,
            )


def _detour(dependent: Dependent) -> str:
    """The statements that put a view between the table and the materialized view."""
    name = dependent.name
    between = TableName(name.schema, name.name.encode()[: LONGEST_NAME - 5].decode(errors="ignore") + "_rows")
    definition = (dependent.definition or "").strip().rstrip(";")
    options = f" WITH ({', '.join(dependent.options)})" if dependent.options else ""
    return (
        f"BEGIN; CREATE VIEW {between.quoted} AS {definition}; DROP MATERIALIZED VIEW {name.quoted}; "
        f"CREATE MATERIALIZED VIEW {name.quoted}{options} AS SELECT * FROM {between.quoted}; COMMIT;"
    )
