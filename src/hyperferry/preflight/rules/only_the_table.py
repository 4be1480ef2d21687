"""A hypertable's rows are in its chunks: ONLY the table, and COPY of it, have none."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import identifier_pattern
from ...model.options import PreflightOptions
from ..words import blocker, listed, warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A hypertable's rows are in its chunks: ONLY the table, and COPY of it, have none."""
    table = inspection.table.name
    only = re.compile(rf"\bONLY\s+\(?\s*(?:{identifier_pattern(table.schema)}\.)?{identifier_pattern(table.name)}")
    bound = [d.identity for d in inspection.dependents if d.definition is not None and only.search(d.definition)]
    if bound:
        yield blocker(
            f"ONLY {table} stands in: {listed(bound)}. A hypertable's rows are in its chunks: these would find none, and say "
            "nothing.",
            "take ONLY out of them (a plain table has no children that it would leave out), then make the plan again.",
        )
    found = (*inspection.statements.parent_alone, *inspection.statements.parent_alone_functions)
    if found:
        yield warning(
            f"ONLY {table}, or COPY {table} TO, stands in: {listed((text[:200] for text in found), 5)}. On the hypertable they "
            "find no rows, and give no error: its rows are in the chunks.",
            f"take ONLY out, and write COPY (SELECT * FROM {table}) TO. A pg_dump of the database has the chunks; that of this "
            "table alone (--table) has none of its rows.",
        )
