"""A prepared transaction keeps its locks until somebody ends it."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A prepared transaction keeps its locks until somebody ends it."""
    for now in inspection.activity.transactions:
        if now.prepared is None:
            continue
        touches = f", with a lock on {inspection.table.name}" if now.touches_table else ""
        gid = now.prepared.replace("'", "''")
        yield warning(
            f"The transaction {now.prepared!r} of {now.user} has been prepared for {now.seconds:,.0f} "
            f"s{touches}.",
            f"COMMIT PREPARED '{gid}'; or: ROLLBACK PREPARED '{gid}';",
        )
