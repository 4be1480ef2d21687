"""A hypertable has no NOT VALID constraints on rows."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker, note, rows


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A hypertable has no NOT VALID constraints on rows."""
    violated = dict(inspection.scan.check_violations) if inspection.scan else {}
    table = inspection.table.name.quoted
    for constraint in inspection.constraints:
        if constraint.kind not in ("c", "n") or constraint.validated or not constraint.enforced:
            continue
        if violated.get(constraint.name):
            yield blocker(
                f"{constraint.name} ({constraint.definition}) is violated by "
                f"{rows(violated[constraint.name])}; the hypertable will refuse them.",
                f"correct or delete them, then: ALTER TABLE {table} VALIDATE CONSTRAINT "
                f"{quote_ident(constraint.name)};",
            )
        elif inspection.scan is not None:
            yield note(
                f"{constraint.name} is NOT VALID, and no row violates it; on the hypertable it is valid.",
                f"ALTER TABLE {table} VALIDATE CONSTRAINT {quote_ident(constraint.name)};",
            )
