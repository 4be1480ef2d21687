"""A privilege that another role than the owner granted can only be granted again as that role."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker, listed


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A privilege that another role than the owner granted can only be granted again as that role."""
    every = [*inspection.table.grants]
    for sequence in inspection.sequences:
        every += sequence.grants if sequence.identity else ()
    role = quote_ident(inspection.server.role)
    for grantor in sorted({grant.grantor for grant in every if grant.grantor and not grant.as_grantor}):
        theirs = [g for g in every if g.grantor == grantor]
        names = listed(sorted({f"{grant.privilege} to {grant.grantee or 'PUBLIC'}" for grant in theirs}))
        yield blocker(
            f"{grantor} granted privileges on {inspection.table.name} ({names}), and "
            f"{inspection.server.role} cannot act as {grantor}.",
            f"GRANT {quote_ident(grantor)} TO {role}; or connect as a superuser; or have the owner grant them "
            f"in place of {grantor}.",
            only=BLUE_GREEN,
        )
