"""Views, rules and policies of other tables are pointed at the hypertable in the cutover."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, listed, note

MOVED = ("view", "rule", "policy")


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Views, rules and policies of other tables are pointed at the hypertable in the cutover."""
    moved = [
        f"{dependent.kind} {dependent.identity}"
        for dependent in inspection.dependents
        if dependent.kind in MOVED and dependent.direct and "rowtype" not in dependent.via
    ]
    if moved:
        yield note(
            "These are pointed at the hypertable in the cutover without being dropped, with their grants, options and comments: "
            f"{listed(moved)}.",
            "nothing.",
            only=BLUE_GREEN,
        )
