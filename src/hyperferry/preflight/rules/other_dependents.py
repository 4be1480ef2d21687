"""Policies and rules of other tables, and whatever else refers to this one."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker

# These have rules of their own.
KNOWN = ("view", "materialized view", "function", "procedure")


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Policies and rules of other tables, and whatever else refers to this one."""
    for dependent in inspection.dependents:
        if dependent.kind in KNOWN or "rowtype" in dependent.via:
            continue
        yield blocker(
            f"The {dependent.kind} {dependent.identity} refers to {inspection.table.name}; hyperferry "
            "does not carry it over, "
            "and it would go on with the old table.",
            "drop it before the rollout and create it again after the cutover.",
            only=BLUE_GREEN,
        )
