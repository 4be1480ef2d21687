"""Functions with SQL bodies (BEGIN ATOMIC) are bound to the table; those that only read are moved."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker, listed, note


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Functions with SQL bodies (BEGIN ATOMIC) are bound to the table; those that only read are moved."""
    moved: list[str] = []
    for dependent in inspection.dependents:
        if (
            not dependent.direct
            or dependent.kind not in ("function", "procedure")
            or "rowtype" in dependent.via
            or dependent.temporary  # see dependent-views
        ):
            continue
        if dependent.writes:
            yield blocker(
                f"The body of {dependent.kind} {dependent.identity} is bound to {inspection.table.name} by its OID, and writes. "
                "A call that waits while the tables change places would go on to write into the old one.",
                "write its body as a string (AS $$ ... $$), which finds tables by their names, with CREATE OR REPLACE.",
                only=BLUE_GREEN,
            )
        elif dependent.leakproof and not inspection.server.superuser:
            yield blocker(
                f"The {dependent.kind} {dependent.identity} is LEAKPROOF; only a superuser could point "
                "its body at the hypertable.",
                "connect as a superuser, or write its body as a string with CREATE OR REPLACE.",
                only=BLUE_GREEN,
            )
        else:
            moved.append(dependent.identity)
    if moved:
        yield note(
            "The bodies of these are bound to the table and only read; CREATE OR REPLACE points them at the "
            f"hypertable in the cutover, with their grants and settings: {listed(moved)}.",
            "nothing.",
            only=BLUE_GREEN,
        )
