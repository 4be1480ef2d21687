"""Unlogged hypertables exist from TimescaleDB 2.23."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Unlogged hypertables exist from TimescaleDB 2.23."""
    if inspection.table.persistence != "u":
        return
    version = inspection.server.timescaledb_installed
    match = re.match(r"(\d+)\.(\d+)", version or "")
    if match is None or (int(match[1]), int(match[2])) < (2, 23):
        yield blocker(
            f"{inspection.table.name} is unlogged; TimescaleDB {version} has no unlogged hypertables "
            "(2.23 does).",
            f"ALTER TABLE {inspection.table.name.quoted} SET LOGGED; (rewrites the table under an "
            "exclusive lock)",
        )
