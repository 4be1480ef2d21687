"""Replicas and slots receive every row that is copied."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import listed, note, size, warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Replicas and slots receive every row that is copied."""
    replicas, slots = inspection.replication.replicas, inspection.replication.slots
    volume = size(inspection.table.total_bytes)
    if replicas:
        yield note(
            f"The copy writes about {volume} once more through WAL to {len(replicas)} replicas: "
            + listed(f"{name} (behind by {size(lag)})" for name, lag in replicas)
            + ".",
            "watch their lag while it runs; `hyperferry pause` stops the copy.",
        )
    for name, lag, active in slots:
        if not active:
            yield warning(
                f"The replication slot {name} is not in use and holds back {size(lag)} of WAL; the copy "
                f"adds about {volume} to that.",
                f"have its consumer run, or: SELECT pg_drop_replication_slot('{name}');",
            )
