"""Indexes that no query has used since statistics are counted."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..matching import by_key, pages_of
from ..words import ago, note, size, warning

YOUNG = 7 * 86_400.0
"""Statistics that are younger tell nothing of use."""
SMALL = 100_000
LARGE = 100_000_000
SHARE = 0.05


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Indexes that no query has used since statistics are counted."""
    since = facts.statistics_since
    if since is not None and facts.now - since < YOUNG:
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
        when = "since statistics are counted" if since is None else f"since the statistics were reset {ago(facts, since)}"
        say = warning if taken > SHARE * total and taken > LARGE else note
        yield say(
            f"The index {index.name} ({size(taken)} in {len(own):,} chunks) was used by no query {when}; every insert pays for "
            "it.",
            "standbys count for themselves: look there as well, and think of queries that run once a month. Then: "
            f"DROP INDEX {index.name.quoted};  -- keep: {index.definition};",
        )
