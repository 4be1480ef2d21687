"""A table of a composite type is bound to that type."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A table of a composite type is bound to that type."""
    table = inspection.table
    if table.typed_of is not None:
        yield blocker(
            f"{table.name} is a typed table, of {table.typed_of}.",
            f"ALTER TABLE {table.name.quoted} NOT OF; (changes the catalog only)",
        )
