"""Sequences go along with the table."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, note


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Sequences go along with the table."""
    for sequence in inspection.sequences:
        kind = "an identity" if sequence.identity else "a serial"
        yield note(
            f"{sequence.column} is {kind} column; its sequence {sequence.name} serves the hypertable "
            "after the cutover" + (", a thousand numbers further on." if sequence.identity else "."),
            "nothing.",
            only=BLUE_GREEN,
        )
