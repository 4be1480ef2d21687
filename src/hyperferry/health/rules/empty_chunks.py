"""Chunks that hold nothing, in the past."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..words import listed, note, plural

LEAST = 1


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Chunks that hold nothing, in the past."""
    present = facts.present
    if present is None:
        return
    old = [chunk for chunk in facts.chunks if chunk.empty and chunk.end < present - facts.interval]
    if len(old) >= LEAST:
        yield note(
            f"Without a row, in the past: {plural(len(old), 'chunk')} of {len(facts.chunks):,}, each planned all the same: "
            f"{listed([chunk.relation.name.name for chunk in old])}.",
            "drop those that nothing will be written to any more, for instance: "
            f"DROP TABLE {old[0].relation.name.quoted};  (on the Apache edition as well; TimescaleDB forgets the chunk with it)",
        )
