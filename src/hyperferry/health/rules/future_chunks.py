"""Chunks far in the future: a wrong clock, a wrong unit, an outlier."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import Chunk, HealthFacts, HealthFinding
from ..words import listed, plural, regclass, warning

AHEAD = 10
YEAR = 365 * 86_400 * 1_000_000
"""Microseconds: rows so far ahead are no forecast."""


def _bound(facts: HealthFacts, text: str) -> str:
    return text if facts.integer_time else f"TIMESTAMPTZ '{text}'"


def _filled(chunk: Chunk) -> bool:
    """Whether something says that it has rows; of one that could not be measured nothing does."""
    return not chunk.empty and (chunk.compressed or chunk.total_bytes > 0 or chunk.relation.estimated_rows > 0)


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Chunks far in the future: a wrong clock, a wrong unit, an outlier."""
    present = facts.present
    if present is None:
        return
    far = [
        chunk for chunk in facts.chunks
        if chunk.start > present + max(AHEAD * facts.interval, 0 if facts.integer_time else YEAR) and _filled(chunk)
    ]
    if far:
        first = far[0]
        yield warning(
            f"{plural(len(far), 'chunk')} with rows far in the future: "
            f"{listed([f'{c.relation.name.name} from {c.start_text}' for c in far])}. "
            "They stay for ever under a policy of retention, and whatever asks for the latest time gets theirs.",
            f"look at the rows: SELECT * FROM {first.relation.name.quoted} LIMIT 10; wrong ones can be deleted, or with their "
            "chunks: "
            f"SELECT drop_chunks({regclass(facts)}, newer_than => {_bound(facts, first.start_text)});",
        )
