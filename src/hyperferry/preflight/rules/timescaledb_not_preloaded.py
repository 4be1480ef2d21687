"""TimescaleDB works only when the server loads it at its start."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker

ANY_RELATION = True


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """TimescaleDB works only when the server loads it at its start."""
    server = inspection.server
    if server.timescaledb_preloaded is not False:
        return
    if server.timescaledb_installed is None and server.timescaledb_available is None:
        return
    yield blocker(
        "The server has not loaded TimescaleDB: shared_preload_libraries does not name it.",
        "ALTER SYSTEM SET shared_preload_libraries = 'timescaledb'; (keep what the setting names "
        "already), then restart the server.",
    )
