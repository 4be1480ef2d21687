"""A table that belongs to an extension is that extension's."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A table that belongs to an extension is that extension's."""
    table = inspection.table
    if table.extension is not None:
        yield blocker(
            f"{table.name} belongs to the extension {table.extension}.",
            f"if it may leave it: ALTER EXTENSION {quote_ident(table.extension)} DROP TABLE "
            f"{table.name.quoted};",
        )
