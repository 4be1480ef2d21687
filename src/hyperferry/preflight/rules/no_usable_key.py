"""Without a key, rows are found by their image, and that needs an index on the time."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker, note


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Without a key, rows are found by their image, and that needs an index on the time."""

    def sure(name: str | None) -> bool:
        column = inspection.column(name or "")
        unproved = {c for k in inspection.constraints if k.kind == "n" and not k.validated for c in k.columns}
        return (
            column is not None and column.not_null and column.generated != "v" and column.name not in unproved
        )

    usable = (
        index
        for index in inspection.indexes
        if index.unique and index.valid and not index.exclusion and index.predicate is None
        if all(sure(key.column) and key.equals is not None for key in index.columns)
    )
    if inspection.time is None or inspection.table.kind != "table" or any(usable):
        return
    leading = [
        index.name
        for index in inspection.indexes
        if index.valid and index.method == "btree" and index.predicate is None
        if index.columns and index.columns[0].column == inspection.time_column
    ]
    table, time = inspection.table.name, quote_ident(inspection.time_column)
    if leading:
        yield note(
            f"{table} has no primary key and no unique key over NOT NULL columns: rows are found by the "
            "hash of all their "
            f"columns and {inspection.time_column}, through index {leading[0]}. Equal rows are counted, "
            "not told apart.",
            "nothing; a primary key would make changes cheaper to carry.",
            only=BLUE_GREEN,
        )
    else:
        yield blocker(
            f"{table} has no primary key, no unique key over NOT NULL columns, and no index that begins with "
            f"{inspection.time_column}: a changed row could be found only by reading the whole table.",
            f"CREATE INDEX CONCURRENTLY ON {table.quoted} ({time}); or add a primary key.",
            only=BLUE_GREEN,
        )
