"""What each session's first statements after the cutover cost, where there are many chunks."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import note

MANY_CHUNKS = 100
"""With 167, eight sessions stood still for a fifth to two fifths of a second (docs/applications.md)."""


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Sessions get to know the chunks, and plan prepared statements once over all of them."""
    scan = inspection.scan
    if scan is None or scan.buckets < MANY_CHUNKS:
        return
    yield note(
        f"With {scan.buckets:,} chunks the first statements of each session after the cutover take longer: it gets to know the "
        "chunks, and a prepared statement is planned once over all of them.",
        "nothing has to be done; where a fifth of a second matters, give a longer --chunk-interval, or, before the application's "
        "sessions connect: ALTER ROLE application SET plan_cache_mode = force_custom_plan;",
    )
