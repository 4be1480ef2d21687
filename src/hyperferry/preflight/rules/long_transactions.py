"""A transaction that stays open keeps a cutover waiting."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import note, warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A transaction that stays open keeps a cutover waiting."""
    for now in inspection.activity.transactions:
        if now.prepared is not None or now.seconds < options.long_transaction_seconds:
            continue
        touches = f" and holds a lock on {inspection.table.name}" if now.touches_table else ""
        snapshot = ", with a snapshot" if now.holds_snapshot else ""
        yield warning(
            f"pid {now.pid} (user {now.user or '?'}, application {now.application or '?'}, "
            f"{now.state or '?'}{snapshot}) has a transaction "
            f"open for {now.seconds:,.0f} s{touches}: {' '.join(now.query.split())[:120] or '?'}",
            "let it end before the start and before the cutover, or: SELECT "
            f"pg_terminate_backend({now.pid});",
        )
    if not inspection.activity.transactions_visible:
        yield note(
            f"Role {inspection.server.role} cannot see the sessions of other roles, so long transactions "
            "may be missing here.",
            f"GRANT pg_monitor TO {quote_ident(inspection.server.role)};",
        )
