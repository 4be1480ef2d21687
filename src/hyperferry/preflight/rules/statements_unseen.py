"""Without pg_stat_statements some changes for the application show only later."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import note


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Without pg_stat_statements some changes for the application show only later."""
    if not inspection.statements.available:
        yield note(
            f"pg_stat_statements cannot be read, so updates of {inspection.time_column} across chunks and "
            "ON CONFLICT on a key without it were looked for "
            "in functions only; the change log will see such updates during the rollout.",
            "search the application for ON CONFLICT and for UPDATEs of the time column.",
        )
