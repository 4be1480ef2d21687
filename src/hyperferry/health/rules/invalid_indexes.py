"""Indexes that an interrupted build left, which cost writers and serve nobody."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..words import listed, maintain, plural, warning


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Indexes that an interrupted build left, which cost writers and serve nobody."""
    invalid = [index for index in (*facts.indexes, *facts.chunk_indexes) if not index.valid]
    if invalid:
        yield warning(
            f"{plural(len(invalid), 'index is', 'indexes are')} invalid: {listed([str(index.name) for index in invalid])}. "
            "Each is kept up to "
            "date by writers, or blocks a new one of its name, and no query uses it.",
            f"DROP INDEX CONCURRENTLY {invalid[0].name.quoted}; where its name ends in _ccnew or _ccold and a valid one is "
            "beside it; else "
            f"REINDEX INDEX CONCURRENTLY {invalid[0].name.quoted};",
            maintain(facts, "reindex"),
        )
