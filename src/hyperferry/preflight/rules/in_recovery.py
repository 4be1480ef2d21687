"""A standby cannot be written."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker

ANY_RELATION = True


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A standby cannot be written."""
    if inspection.server.in_recovery:
        yield blocker(
            f"The server of database {inspection.server.database} is a standby in recovery: nothing can "
            "be written there.",
            "connect to the primary.",
        )
