"""Foreign keys of the table are made again on the hypertable."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker, listed, note


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Foreign keys of the table are made again on the hypertable."""
    keys = [constraint for constraint in inspection.constraints if constraint.kind == "f"]
    for key in keys:
        if key.references_hypertable:
            yield blocker(
                f"The foreign key {key.name} points at the hypertable {key.references}; one hypertable "
                "cannot refer to another.",
                f"ALTER TABLE {inspection.table.name.quoted} DROP CONSTRAINT {quote_ident(key.name)};",
            )
    table = inspection.table.name
    # One to the table itself is among those that point at it.
    plain = [key.name for key in keys if not key.references_hypertable and key.references != table]
    if plain:
        yield note(
            "Foreign keys that are put on the hypertable NOT VALID in the cutover, and validated after it: "
            f"{listed(plain)}.",
            "nothing.",
            only=BLUE_GREEN,
        )
