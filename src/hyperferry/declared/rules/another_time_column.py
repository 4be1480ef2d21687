"""A hypertable that is cut by another column than the file says."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.difference import Refusal
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """A hypertable that is cut by another column than the file says."""
    wanted, column = case.declared.time_column, case.state.time_column
    if wanted is not None and wanted not in (column, column.lower()) and wanted.lower() != column:
        yield refusal(
            "time_column",
            f"{case.state.name} is cut by {column!r}, and the file's time_column is {wanted!r}.",
            "correct time_column, or name the file of this table with --config. A hypertable's time column cannot be changed.",
        )
