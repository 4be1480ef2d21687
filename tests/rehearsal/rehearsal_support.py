"""What tests of rehearsals share."""

from __future__ import annotations

import os
from collections.abc import Callable

from hyperferry.rehearsal import RehearsalReport
from servers import Database

Rehearse = Callable[..., RehearsalReport]


def rehearsals(database: Database) -> list[str]:
    """The databases that rehearsals of this process left on the server."""
    with database.server.connect() as conn:
        rows = conn.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)",
            [f"hyperferry_rehearsal_{os.getpid()}_"],
        )
        return [row[0] for row in rows]


def steps(report: RehearsalReport) -> dict[str, str]:
    """How each step ended."""
    return {step.name: step.status.value for step in report.steps}


def text(report: RehearsalReport) -> str:
    """All that the report says, for messages of asserts."""
    lines = [f"{s.name}: {s.status} {s.message} {s.details} {s.remedy}" for s in report.steps]
    return "\n".join([*lines, *report.warnings])
