"""Row security is carried over; a session that it filters would copy half a table."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker, listed, note


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Row security is carried over; a session that it filters would copy half a table."""
    table, rights = inspection.table, inspection.rights
    if rights.row_security_active:
        yield blocker(
            f"Row security filters what role {inspection.server.role} sees of {table.name}, so not every "
            "row could be copied.",
            f"ALTER ROLE {quote_ident(inspection.server.role)} BYPASSRLS; or connect as a superuser.",
        )
    elif table.row_security:
        forced = ", forced for its owner too" if table.row_security_forced else ""
        yield note(
            f"{table.name} has row security{forced}, with {len(inspection.policies)} policies: "
            f"{listed(policy.name for policy in inspection.policies) or 'none'}. They are carried over; "
            "the columnstore will not be available with them.",
            "nothing.",
        )
