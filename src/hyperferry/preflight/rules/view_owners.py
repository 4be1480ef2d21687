"""Only a view's owner can point it at the hypertable."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Only a view's owner can point it at the hypertable."""
    for dependent in inspection.dependents:
        if dependent.kind == "view" and not dependent.owned:
            yield blocker(
                f"The view {dependent.name} belongs to {dependent.owner}, of whom "
                f"{inspection.server.role} is no member; "
                "it could not be pointed at the hypertable.",
                f"GRANT {quote_ident(dependent.owner)} TO {quote_ident(inspection.server.role)}; or "
                "connect as a superuser.",
                only=BLUE_GREEN,
            )
