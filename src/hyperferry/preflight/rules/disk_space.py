"""The copy needs the table's room once more."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import note, size, warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """The copy needs the table's room once more."""
    table, free = inspection.table, inspection.activity.free_disk_bytes
    if table.kind != "table":
        return
    known = "free space cannot be seen from here" if free is None else f"{size(free)} are free"
    message = (
        f"The copy of {table.name} needs about {size(table.total_bytes)} of disk, "
        f"and as much WAL passes through; {known}."
    )
    if free is not None and free < table.total_bytes * 1.2:
        yield warning(message, "make room, or give the hypertable another tablespace, before the start.")
    else:
        yield note(message, "see that so much is free on the server, and where WAL is archived.")
