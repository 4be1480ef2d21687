"""Triggers of the user are made on the hypertable in the cutover."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, listed, note


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Triggers of the user are made on the hypertable in the cutover."""
    if inspection.triggers:
        names = listed(f"{trigger.name} ({trigger.function})" for trigger in inspection.triggers)
        yield note(
            f"These triggers of {inspection.table.name} are made on the hypertable in the cutover, and fire "
            f"there only from then on: {names}.",
            "nothing, unless one of them refers to its table by OID.",
            only=BLUE_GREEN,
        )
