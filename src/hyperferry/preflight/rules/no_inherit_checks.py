"""Hypertables refuse checks that are NO INHERIT."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Hypertables refuse checks that are NO INHERIT."""
    for constraint in inspection.constraints:
        if constraint.kind in ("c", "n") and constraint.no_inherit:
            name = quote_ident(constraint.name)
            yield blocker(
                f"{constraint.name} ({constraint.definition}) is NO INHERIT, which hypertables refuse: it "
                "would not hold in chunks.",
                f"ALTER TABLE {inspection.table.name.quoted} DROP CONSTRAINT {name}, "
                f"ADD CONSTRAINT {name} {constraint.definition.replace(' NO INHERIT', '')};",
            )
