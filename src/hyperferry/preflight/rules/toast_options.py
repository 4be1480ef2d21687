"""The chunks of a hypertable do not take its TOAST options."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import listed, warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """The chunks of a hypertable do not take its TOAST options."""
    table = inspection.table
    if table.toast_options:
        settings = ", ".join(f"toast.{option}" for option in table.toast_options)
        yield warning(
            f"{table.name} has TOAST options ({listed(table.toast_options)}). The hypertable will have them, but TimescaleDB "
            "gives none to its chunks, where the rows are.",
            f"if they matter, set them on each chunk, those made later too: ALTER TABLE chunk SET ({settings});",
        )
