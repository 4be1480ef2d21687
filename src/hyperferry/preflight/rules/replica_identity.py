"""The replica identity is set on the hypertable again."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import note


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """The replica identity is set on the hypertable again."""
    table = inspection.table
    if table.replica_identity == "d":
        return
    widened = [
        index.name
        for index in inspection.indexes
        if index.replica_identity and inspection.time_column not in [key.column for key in index.columns]
    ]
    kind = {"f": "FULL", "n": "NOTHING", "i": "USING INDEX"}.get(
        table.replica_identity, table.replica_identity
    )
    also = f" Its index {widened[0]} is widened by {inspection.time_column}." if widened else ""
    yield note(
        f"{table.name} has REPLICA IDENTITY {kind}; decoders will see the names of the chunks.{also}",
        "see that consumers of logical decoding can read chunks.",
    )
