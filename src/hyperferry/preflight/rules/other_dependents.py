"""Whatever refers to the table and is not known to be movable."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker

# These have rules of their own.
KNOWN = ("view", "materialized view", "function", "procedure", "rule", "policy")


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Whatever refers to the table and is not known to be movable."""
    for dependent in inspection.dependents:
        if not dependent.direct or dependent.kind in KNOWN or "rowtype" in dependent.via:
            continue
        through = {"sequence": " (through the sequence of an identity)", "index": " (through an index)"}
        yield blocker(
            f"The {dependent.kind} {dependent.identity} refers to {inspection.table.name}"
            f"{through.get(dependent.via[0], '') if dependent.via else ''}; hyperferry does not carry it over, "
            "and it would go on with the old table.",
            "drop it before the rollout and create it again after the cutover.",
            only=BLUE_GREEN,
        )
