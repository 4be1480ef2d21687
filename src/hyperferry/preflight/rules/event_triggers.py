"""Event triggers see the DDL of a rollout."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import listed, warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Event triggers see the DDL of a rollout."""
    if inspection.event_triggers:
        yield warning(
            "Event triggers will see (and may refuse) the DDL of the rollout: "
            f"{listed(inspection.event_triggers)}.",
            "see that they let schemas hyperferry and hyperferry_* pass; `hyperferry plan --sql` prints "
            "every statement.",
        )
