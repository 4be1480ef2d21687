"""An index that a failed CREATE INDEX CONCURRENTLY left behind."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """An index that a failed CREATE INDEX CONCURRENTLY left behind."""
    for index in inspection.indexes:
        if not index.valid:
            yield warning(
                f"Index {index.name} is not valid: it serves no query, and a unique one proves nothing.",
                "REINDEX INDEX CONCURRENTLY "
                f"{quote_ident(inspection.table.name.schema)}.{quote_ident(index.name)}; or drop it.",
            )
