"""PostgreSQL 14 to 18 are supported."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker

OLDEST, NEWEST = 14, 18

ANY_RELATION = True


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """PostgreSQL 14 to 18 are supported."""
    major = inspection.server.version_num // 10_000
    if not OLDEST <= major <= NEWEST:
        yield blocker(
            f"The server is PostgreSQL {inspection.server.version}; hyperferry supports {OLDEST} to "
            f"{NEWEST}.",
            f"upgrade the server to PostgreSQL {NEWEST} first."
            if major < OLDEST
            else "use a hyperferry that knows this release.",
        )
