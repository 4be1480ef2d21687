"""TimescaleDB 2.9 or later, on a PostgreSQL that this version of it supports."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker, warning

OLDEST = (2, 9)
MERGE = (2, 12)
"""Before it "The MERGE command does not support hypertables in this version" (seen on 2.9.3)."""
SUPPORTED = (
    # from TimescaleDB, PostgreSQL from, to; newest first (TimescaleDB's changelog)
    ((2, 29), 16, 18),
    ((2, 23), 15, 18),
    ((2, 20), 15, 17),
    ((2, 17), 14, 17),
    ((2, 16), 14, 16),
    ((2, 13), 13, 16),
    ((2, 11), 13, 15),
    ((2, 9), 12, 15),
)

ANY_RELATION = True


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """TimescaleDB 2.9 or later, on a PostgreSQL that this version of it supports."""
    server = inspection.server
    text = server.timescaledb_installed or server.timescaledb_available
    match = re.match(r"(\d+)\.(\d+)", text or "")
    if text is None or match is None:
        return
    version = (int(match[1]), int(match[2]))
    if version < OLDEST:
        yield blocker(
            f"TimescaleDB is {text}; hyperferry needs 2.9 or later.",
            "in a new session, as its first statement: ALTER EXTENSION timescaledb UPDATE;",
        )
        return
    low, high = next((low, high) for since, low, high in SUPPORTED if version >= since)
    major = server.version_num // 10_000
    if not low <= major <= high:
        yield blocker(
            f"TimescaleDB {text} supports PostgreSQL {low} to {high}, and the server is {server.version}.",
            "upgrade one of the two: TimescaleDB's documentation lists which versions belong together.",
        )
    elif version < MERGE and major >= 15:
        yield warning(
            f"TimescaleDB {text} refuses MERGE into a hypertable (2.12 takes it).",
            "see that the application has none for this table, or update TimescaleDB first.",
        )
