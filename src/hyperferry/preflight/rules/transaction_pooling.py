"""A pooler that changes the server session between transactions takes our settings and locks away."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker

ANY_RELATION = True


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A pooler that changes the server session between transactions takes our settings and locks away."""
    if inspection.server.transaction_pooled:
        yield blocker(
            "A connection pooler gives each transaction to another server session; "
            "session settings, advisory locks and temporary tables do not survive there.",
            "connect to PostgreSQL itself, or to a pool in session mode (PgBouncer: pool_mode = session).",
        )
