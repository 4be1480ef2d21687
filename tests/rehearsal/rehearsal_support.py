"""What tests of rehearsals share."""

from __future__ import annotations

from collections.abc import Callable

from hyperferry.rehearsal import RehearsalReport
from servers import Database

Rehearse = Callable[..., RehearsalReport]


def rehearsals(database: Database) -> list[str]:
    """The databases of rehearsals on the server, and roles."""
    with database.server.connect() as conn:
        return [
            row[0]
            for row in conn.execute(
                "SELECT datname FROM pg_database WHERE starts_with(datname, 'hyperferry_rehearsal_') "
                "UNION ALL SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'hyperferry_rehearsal_')"
            )
        ]


def steps(report: RehearsalReport) -> dict[str, str]:
    """How each step ended."""
    return {step.name: step.status.value for step in report.steps}


def text(report: RehearsalReport) -> str:
    """All that the report says, for messages of asserts."""
    lines = [f"{s.name}: {s.status} {s.message} {s.details} {s.remedy}" for s in report.steps]
    return "\n".join([*lines, *report.warnings])
