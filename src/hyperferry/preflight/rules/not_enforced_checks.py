"""PostgreSQL 18: a chunk enforces a check that the table does not."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """PostgreSQL 18: a chunk enforces a check that the table does not."""
    for constraint in inspection.constraints:
        if constraint.kind == "c" and not constraint.enforced:
            yield blocker(
                f"The check {constraint.name} is NOT ENFORCED; the chunks of a hypertable enforce it all "
                "the same (seen on 2.31).",
                f"ALTER TABLE {inspection.table.name.quoted} DROP CONSTRAINT {quote_ident(constraint.name)};",
            )
