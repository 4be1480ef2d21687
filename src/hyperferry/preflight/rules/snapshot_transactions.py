"""A snapshot older than the swap does not see the last changes."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import listed, warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A snapshot older than the swap does not see the last changes."""
    found = [
        f"{'role ' + default.role if default.role else 'all roles'}"
        f"{' in database ' + default.database if default.database else ''} (default {default.isolation})"
        for default in inspection.isolation_defaults
    ]
    if inspection.server.default_isolation in ("repeatable read", "serializable"):
        found.append(f"this session's own default ({inspection.server.default_isolation})")
    found += [text[:200] for text in inspection.statements.isolation]
    if not inspection.activity.transactions_visible:
        yield warning(
            f"Role {inspection.server.role} cannot see what other roles' sessions do, so the cutover cannot wait for those that "
            "hold a snapshot older than the swap; such a one, if it is above READ COMMITTED, would read the hypertable without "
            "the last applied changes.",
            f"GRANT pg_monitor TO {quote_ident(inspection.server.role)}; or, where no transaction of the application's is above "
            "READ COMMITTED, cut over with --accept snapshot-transactions.",
            accept="snapshot-transactions",
        )
    if found:
        yield warning(
            f"Transactions above READ COMMITTED are in use: {listed(found, 8)}. One whose snapshot is "
            "older than the swap and which waits for it "
            "reads the hypertable without the last applied changes.",
            "hyperferry waits for sessions that hold such a snapshot; have the application retry, then "
            "cut over with --accept snapshot-transactions.",
            accept="snapshot-transactions",
        )
