"""Without pg_stat_statements, or all of it, some changes for the application show only later."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import note

SEARCH = "search the application for ON CONFLICT and for UPDATEs of the time column"


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Without pg_stat_statements, or all of it, some changes for the application show only later."""
    if not inspection.statements.available:
        yield note(
            f"pg_stat_statements cannot be read, so updates of {inspection.time_column} across chunks and "
            "ON CONFLICT on a key without it were looked for "
            "in functions only; of these the change log will see the updates, during the rollout.",
            f"{SEARCH}.",
        )
    elif hidden := inspection.statements.hidden:
        role = inspection.server.role
        yield note(
            f"{hidden:,} statement{'' if hidden == 1 else 's'} of other roles in pg_stat_statements cannot be read by {role}, so "
            f"updates of {inspection.time_column} across chunks, ON CONFLICT on a key without it and transactions that keep "
            "a snapshot were looked for in the others and in functions only; of these the change log will see the updates, "
            "during the rollout.",
            f"GRANT pg_read_all_stats TO {quote_ident(role)}; (or pg_monitor) and ask again; or {SEARCH}.",
        )
