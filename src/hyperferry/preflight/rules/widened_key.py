"""Every unique key of a hypertable contains the time column."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Every unique key of a hypertable contains the time column."""
    for index in inspection.indexes:
        if not index.unique or index.exclusion or inspection.time is None:
            continue
        names = [key.column or key.expression for key in index.columns]
        if inspection.time_column in [key.column for key in index.columns]:
            continue
        kind = "primary key" if index.primary else "unique constraint" if index.constraint else "unique index"
        yield warning(
            f"The {kind} {index.name} ({', '.join(names)}) becomes "
            f"({', '.join([*names, inspection.time_column])}): two rows with one "
            f"({', '.join(names)}) and different {inspection.time_column} will be allowed. Today's rows "
            "satisfy it, as they satisfy more.",
            "see that values come from a sequence or are made unique by the application, then cut over "
            "with --accept widened-key.",
            accept="widened-key",
        )
