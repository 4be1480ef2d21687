"""ON CONFLICT needs a unique key, and each contains the time."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import listed, warning

_TARGET = re.compile(
    r"\bon\s+conflict\s*(?:\((?P<columns>.*?)\)\s*(?:where\b.*?)?\bdo\b"
    r"|on\s+constraint\s+(?P<name>\"[^\"]+\"|\w+))",
    re.I | re.S,
)


def _lacks_time(text: str, time_column: str, widened: set[str]) -> bool:
    """Whether a conflict target lacks the time column, or names a constraint that is widened. DO NOTHING
    without a target works."""
    for match in _TARGET.finditer(text):
        if match["name"] is not None:
            if match["name"].strip('"') in widened:
                return True
        elif time_column.lower() not in [
            part.strip().strip('"').lower() for part in match["columns"].split(",")
        ]:
            return True
    return False


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """ON CONFLICT needs a unique key, and each contains the time."""
    time = quote_ident(inspection.time_column)
    without = {
        index.name
        for index in inspection.indexes
        if index.unique and inspection.time_column not in [key.column for key in index.columns]
    }
    if not without:
        return
    found = [
        text
        for text in (*inspection.statements.conflict_targets, *inspection.statements.conflict_functions)
        if _lacks_time(text, inspection.time_column, without)
    ]
    if found:
        yield warning(
            f"ON CONFLICT names a key without {inspection.time_column} in: "
            f"{listed((text[:200] for text in found), 5)}. "
            "On the hypertable there is no such key, and the statement fails.",
            f"add {time} to the conflict target where the time of a row is known beforehand, then cut "
            "over with --accept on-conflict-key.",
            accept="on-conflict-key",
        )
