"""Security labels are not carried over."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker, listed


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Security labels are not carried over."""
    labels = inspection.security_labels
    if labels:
        yield blocker(
            f"{inspection.table.name} has security labels, which hyperferry does not carry over: "
            f"{listed(labels)}.",
            "take them off and set them again afterwards: SECURITY LABEL ON TABLE "
            f"{inspection.table.name.quoted} IS NULL;",
            only=BLUE_GREEN,
        )
