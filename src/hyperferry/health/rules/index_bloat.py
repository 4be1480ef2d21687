"""Pages of indexes that hold nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..bloated import bloated_indexes
from ..words import maintain, note, percent, plural, size, warning, worst

WARN_BYTES = 100_000_000
WARN_SHARE = 0.2


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Pages of indexes that hold nothing."""
    found = bloated_indexes(facts)
    if not found:
        return
    wasted = sum(bloat.wasted for _, bloat in found)
    total = sum(relation.total_bytes for relation in facts.relations)
    measured = "measured" if facts.exact is not None else "by an estimate; --exact measures"
    say = warning if wasted > WARN_BYTES and wasted > WARN_SHARE * total else note
    yield say(
        f"{size(wasted)} of {plural(len(found), 'index', 'indexes')} hold nothing ({measured}): "
        f"{worst(found, lambda f: f[1].wasted, lambda f: f'{f[0].name.name} {percent(f[1].share)} of {size(f[1].bytes)}')}.",
        f"REINDEX INDEX CONCURRENTLY {found[0][0].name.quoted}; and so on: chunk by chunk, since TimescaleDB refuses it for "
        "the hypertable.",
        maintain(facts, "reindex"),
    )
