"""Only its owner can point a dependent at the hypertable."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker

MOVED = ("view", "function", "procedure", "rule", "policy")


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Only its owner can point a dependent at the hypertable."""
    role = inspection.server.role
    for dependent in inspection.dependents:
        if dependent.direct and dependent.kind in MOVED and not dependent.owned and not dependent.temporary:
            yield blocker(
                f"The {dependent.kind} {dependent.identity} belongs to {dependent.owner}, of whom {role} is no member; it "
                "could not be pointed at the hypertable.",
                f"GRANT {quote_ident(dependent.owner)} TO {quote_ident(role)}; or connect as a superuser.",
                only=BLUE_GREEN,
            )
