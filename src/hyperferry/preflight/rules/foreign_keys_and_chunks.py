"""How long foreign keys keep writers waiting in the cutover, where there are many chunks."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.given_up import kept
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, warning

LONG_SECONDS = 0.3
"""From so many reckoned seconds on it is told: about 700 chunks for one key. On busy cores it took two to five times as long."""
POINTING = 1.6
"""A key that points at the table takes as long as so many of its own: 0.8 to 0.9 s for 1,000 chunks."""
GIVEN_UP_SECONDS = 5.0
"""After so many the server ends the swap (cutover.runner.STATEMENT_TIMEOUT_MS)."""


def seconds_for_key(chunks: int) -> float:
    """How long one key takes to be put on every chunk: measured on two cores, 0.17, 0.54 and 1.88 s at 500, 1,000 and 2,000."""
    return 4e-7 * chunks**2 + 1.4e-4 * chunks


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """How long foreign keys keep writers waiting in the cutover, where there are many chunks."""
    scan = inspection.scan
    if scan is None:
        return
    own = [c for c in inspection.constraints if c.kind == "f" and c.references != inspection.table.name]
    pointing = kept(inspection, options.drop_inbound_fks)
    seconds = (len(own) + POINTING * len(pointing)) * seconds_for_key(scan.buckets)
    if seconds < LONG_SECONDS:
        return
    ending = (
        f" The server ends a swap after {GIVEN_UP_SECONDS:g} s, so it would not succeed."
        if seconds >= GIVEN_UP_SECONDS
        else ""
    )
    put = _keys(len(own) + len(pointing))
    yield warning(
        f"In the cutover TimescaleDB puts {put} on each of {scan.buckets:,} chunks: about {seconds:.1f} s (reckoned from what it "
        "took on two cores; a busy server takes several times as long, and it grows with the square of the chunks), in which all "
        f"who write or read wait.{ending}",
        "give a longer --chunk-interval; or drop the foreign key before `start` and add it at a quiet time after the cutover, "
        "which takes as long then.",
        only=BLUE_GREEN,
    )


def _keys(number: int) -> str:
    return "a foreign key" if number == 1 else f"{number} foreign keys"
