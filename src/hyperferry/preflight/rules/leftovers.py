"""What an earlier rollout of this table left behind."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker, listed

ANY_RELATION = True


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """What an earlier rollout of this table left behind."""
    drops = []
    for left in inspection.activity.leftovers:
        drops.append(
            f"DROP SCHEMA {left.removeprefix('schema ')} CASCADE;"
            if left.startswith("schema ")
            else f"DROP {left.upper()[:7]}{left[7:]};"
        )
    if drops:
        yield blocker(
            f"An earlier rollout left these behind: {listed(inspection.activity.leftovers)}.",
            f"look into them, then: {' '.join(drops)}",
        )
