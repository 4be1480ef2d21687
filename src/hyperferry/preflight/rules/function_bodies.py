"""A function with an SQL body (BEGIN ATOMIC) is bound to the old table."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A function with an SQL body (BEGIN ATOMIC) is bound to the old table."""
    for dependent in inspection.dependents:
        if dependent.kind in ("function", "procedure") and "rowtype" not in dependent.via:
            yield blocker(
                f"The body of {dependent.kind} {dependent.identity} is bound to {inspection.table.name} "
                "by its OID; "
                "it would go on with the old table.",
                "write its body as a string (AS $$ ... $$), which finds tables by their names, with "
                "CREATE OR REPLACE.",
                only=BLUE_GREEN,
            )
