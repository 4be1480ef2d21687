"""Indexes that no query has used since statistics are counted."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..matching import by_key, pages_of
from ..words import lasting, note, size, warning

YOUNG = 7 * 86_400.0
"""Statistics that are younger, or of a table that is, tell nothing of use."""
SMALL = 100_000
LARGE = 100_000_000
SHARE = 0.05


def _counted_since(facts: HealthFacts) -> float | None:
    """Since when uses by the application are counted at the earliest; None where that is not known, or where the application does
    not use it yet: what a rollout builds."""
    if facts.rollout is not None and facts.rollout.phase != "cut_over":
        return None
    known = [each for each in (facts.statistics_since, facts.oldest_chunk, facts.serves_since) if each is not None]
    return max(known, default=None)


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Indexes that no query has used since statistics are counted."""
    since = _counted_since(facts)
    if since is None or facts.now - since < YOUNG:
        return
    if not any(i.scans for i in facts.chunk_indexes) and not any(r.scans for r in facts.relations):
        return  # nobody reads it at all: that says nothing of its indexes
    chunks = by_key(facts)
    keys = [index.key for index in facts.indexes]
    total = max(1, sum(relation.total_bytes for relation in facts.relations))
    for index in facts.indexes:
        own = chunks.get(index.key, ())
        if index.enforces or not own or keys.count(index.key) > 1:
            continue
        taken = pages_of(own) * facts.block_size
        if index.scans + sum(each.scans for each in own) or taken < SMALL:
            continue
        say = warning if taken > SHARE * total and taken > LARGE else note
        yield say(
            f"The index {index.name} ({size(taken)} in {len(own):,} chunks) was used by no query since statistics are counted "
            f"({lasting(facts.now - since)} at most); every insert pays for it.",
            "standbys count for themselves: look there as well, and think of queries that run once a month. Then: "
            f"DROP INDEX {index.name.quoted};  -- keep: {index.definition};",
        )
