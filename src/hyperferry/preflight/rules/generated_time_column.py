"""The time column cannot be generated."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """The time column cannot be generated."""
    column = inspection.time
    if column is not None and column.generated:
        table, name = inspection.table.name.quoted, quote_ident(column.name)
        yield blocker(
            f"{column.name} is generated ({column.default}); a hypertable cannot be partitioned by it.",
            f"ALTER TABLE {table} ALTER COLUMN {name} DROP EXPRESSION; and have the application or a "
            "trigger fill it."
            if column.generated == "s"
            else "name another column with --time: a virtual column is not stored at all.",
        )
