"""Rows are stored by the heap access method."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Rows are stored by the heap access method."""
    method = inspection.table.access_method
    if inspection.table.relkind == "r" and method not in (None, "heap"):
        yield blocker(
            f"{inspection.table.name} is stored by the access method {method}; chunks are stored by heap.",
            f"ALTER TABLE {inspection.table.name.quoted} SET ACCESS METHOD heap; (PostgreSQL 15, rewrites "
            "the table)",
        )
