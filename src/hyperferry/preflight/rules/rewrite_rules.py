"""Hypertables have no rules."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker, listed


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Hypertables have no rules."""
    table = inspection.table
    if inspection.rules:
        drops = " ".join(
            f"DROP RULE {quote_ident(name)} ON {table.name.quoted};" for name in inspection.rules
        )
        yield blocker(
            f"{table.name} has rules, which hypertables refuse: {listed(inspection.rules)}.",
            f"do their work in triggers or in the application, then: {drops}",
        )
