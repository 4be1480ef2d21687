"""Somebody's function under the name of one of TimescaleDB's would be called in its place."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker, listed


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Somebody's function under the name of one of TimescaleDB's would be called in its place."""
    if inspection.overloads:
        yield blocker(
            "Beside TimescaleDB's own create_hypertable, under its name and in its schema, stands "
            f"{listed(inspection.overloads)}. It would run in the name of {inspection.server.role}.",
            "look who made it and why, then DROP FUNCTION; and REVOKE CREATE ON SCHEMA "
            f"{inspection.server.timescaledb_schema} FROM PUBLIC;",
        )
