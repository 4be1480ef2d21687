"""An integer time needs a function that says what now is, before policies can be used."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import note


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """An integer time needs a function that says what now is, before policies can be used."""
    column = inspection.time
    if column is not None and column.base_type in ("pg_catalog.int2", "pg_catalog.int4", "pg_catalog.int8"):
        width = f" One chunk is counted as {inspection.scan.interval} units here." if inspection.scan else ""
        yield note(
            f"{column.name} is {column.type_sql}: intervals are numbers in its own unit.{width} Policies "
            "will need set_integer_now_func().",
            "give --chunk-interval as a number in the column's unit.",
        )
