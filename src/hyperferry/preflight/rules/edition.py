"""Which of TimescaleDB's editions runs, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import note

ANY_RELATION = True


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Which of TimescaleDB's editions runs, and what it lacks."""
    if inspection.server.edition == "apache":
        yield note(
            f"TimescaleDB {inspection.server.timescaledb_installed} runs as the Apache-2 edition: no "
            "compression (columnstore), "
            "no retention, compression or refresh policies, no jobs, no continuous aggregates. "
            "Hypertables, chunks and drop_chunks() work.",
            "nothing for the rollout; for those features install the Community edition "
            "(timescaledb.license = 'timescale').",
        )
