"""Materialized views are not carried over yet."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Materialized views are not carried over yet."""
    for dependent in inspection.dependents:
        if dependent.kind == "materialized view" and "rowtype" not in dependent.via:
            yield blocker(
                f"The materialized view {dependent.name} depends on {inspection.table.name}; it would go "
                "on reading the old table.",
                f"keep its definition, then: DROP MATERIALIZED VIEW {dependent.name.quoted}; and create "
                "it again after the cutover.",
                only=BLUE_GREEN,
            )
