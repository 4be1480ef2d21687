"""The extension has to be created in this database."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker

ANY_RELATION = True


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """The extension has to be created in this database."""
    server = inspection.server
    if server.timescaledb_installed is not None:
        return
    if server.timescaledb_available is None:
        yield blocker(
            f"TimescaleDB is not installed on the server (PostgreSQL {server.version}).",
            f"install its package for PostgreSQL {server.version_num // 10_000}, put timescaledb into "
            "shared_preload_libraries, restart, then: CREATE EXTENSION timescaledb;",
        )
    else:
        yield blocker(
            f"TimescaleDB {server.timescaledb_available} is installed on the server, "
            f"but not created in database {server.database}.",
            "as a superuser or the database's owner, in this database: CREATE EXTENSION timescaledb;",
        )
