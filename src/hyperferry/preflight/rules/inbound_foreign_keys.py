"""Foreign keys of other tables that point at this one."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Foreign keys of other tables that point at this one."""
    for key in inspection.inbound_keys:
        without = inspection.time_column not in key.referenced_columns
        why = (
            f"a hypertable has no unique key without {inspection.time_column}"
            if without
            else "hyperferry does not carry foreign keys to a hypertable over yet"
        )
        yield blocker(
            f"The foreign key {key.name} of {key.table} points at {inspection.table.name} "
            f"({', '.join(key.referenced_columns)}): {why}.",
            f"ALTER TABLE {key.table.quoted} DROP CONSTRAINT {quote_ident(key.name)}; and let the "
            "application or a trigger see to it.",
        )
