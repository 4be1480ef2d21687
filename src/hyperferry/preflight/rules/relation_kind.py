"""Only an ordinary table that belongs to no hierarchy can become a hypertable."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker

REMEDIES = {
    "hypertable": "nothing is left to do: it is a hypertable already "
    "(`hyperferry status` shows its rollout, if it had one).",
    "chunk": "name the hypertable that the chunk belongs to.",
    "partitioned "
    "table": "copy its rows into one ordinary table first: CREATE TABLE ... (LIKE ... INCLUDING ALL); "
    "INSERT INTO ... SELECT ...;",
    "partition": "detach it first: ALTER TABLE parent DETACH PARTITION this_table CONCURRENTLY;",
    "inherited": "end the inheritance first: ALTER TABLE this_table NO INHERIT parent;",
    "inheritance "
    "parent": "end the inheritance first: ALTER TABLE child NO INHERIT this_table; for each child.",
    "view": "name the table that the view reads.",
    "materialized view": "name the table that the view reads.",
    "foreign table": "run hyperferry on the server that has the table.",
}

ANY_RELATION = True


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Only an ordinary table that belongs to no hierarchy can become a hypertable."""
    table = inspection.table
    if table.kind == "table":
        return
    remedy = REMEDIES.get(table.kind, "name an ordinary table.")
    yield blocker(f"{table.name} is not an ordinary table, but: {table.kind}.", remedy)
