"""A rollout of this table has not ended."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import note

ANY_RELATION = True


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A rollout of this table has not ended."""
    phase = inspection.activity.open_rollout
    if phase is not None:
        yield note(
            f"A rollout of {inspection.table.name} is open, in phase {phase}.",
            f"hyperferry start {inspection.table.name} goes on with it; hyperferry abort "
            f"{inspection.table.name} ends it.",
        )
