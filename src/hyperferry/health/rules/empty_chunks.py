"""Chunks that hold nothing, in the past."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import Chunk, HealthFacts, HealthFinding
from ..words import listed, note, plural, sql_text

LEAST = 1


def _drop(chunk: Chunk) -> str:
    """Drops the chunk if it is empty by then; waits for nobody for long."""
    name = chunk.relation.name.quoted
    body = (
        f"BEGIN PERFORM set_config('lock_timeout', '300ms', true); LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE; "
        f"IF NOT EXISTS (SELECT FROM {name}) THEN DROP TABLE {name}; END IF; END"
    )
    return f"DO {sql_text(body)};"


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
            "drop those that nothing will be written to any more, each after a look under its lock, for instance: "
            f"{_drop(old[0])}  (on the Apache edition as well; TimescaleDB forgets the chunk with it)",
        )
