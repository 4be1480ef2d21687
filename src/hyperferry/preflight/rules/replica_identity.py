"""The replica identity is set on the hypertable again, where that can have one."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, IN_PLACE, blocker, note, warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """The replica identity is set on the hypertable again, where that can have one."""
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
    if not inspection.server.keeps_replica_identity:
        yield warning(
            f"{table.name} has REPLICA IDENTITY {kind}, which a hypertable of TimescaleDB "
            f"{inspection.server.timescaledb_installed} cannot have: it goes without, until a rollback or an upgrade to 2.12.",
            "see that nobody decodes changes of this table, or upgrade TimescaleDB first.",
            only=BLUE_GREEN,
        )
        yield blocker(
            f"{table.name} has REPLICA IDENTITY {kind}, and TimescaleDB {inspection.server.timescaledb_installed} makes no "
            "hypertable of such a table.",
            f"ALTER TABLE {table.name.quoted} REPLICA IDENTITY DEFAULT; (where nobody decodes its changes), or upgrade "
            "TimescaleDB to 2.12.",
            only=IN_PLACE,
        )
        return
    also = f" Its index {widened[0]} is widened by {inspection.time_column}." if widened else ""
    yield note(
        f"{table.name} has REPLICA IDENTITY {kind}; decoders will see the names of the chunks.{also}",
        "see that consumers of logical decoding can read chunks.",
    )
