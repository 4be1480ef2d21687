"""Pages of tables that hold nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..bloated import bloated_tables
from ..words import maintain, note, percent, plural, short, size, warning, worst

WARN_BYTES = 100_000_000
WARN_SHARE = 0.2


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Pages of tables that hold nothing."""
    found = bloated_tables(facts)
    if not found:
        return
    wasted = sum(bloat.wasted for _, bloat in found)
    total = sum(relation.total_bytes for relation in facts.relations)
    measured = "measured" if facts.exact is not None else "by an estimate; --exact measures"
    rewrite = (
        "compress them, or rewrite one with SELECT reorder_chunk(...)" if facts.edition == "community" else
        f"at a quiet time, since nobody can use the chunk meanwhile: VACUUM (FULL, ANALYZE) {found[0][0].name.quoted};"
    )
    say = warning if wasted > WARN_BYTES and wasted > WARN_SHARE * total else note
    yield say(
        f"{size(wasted)} of {plural(len(found), 'table')} hold nothing ({measured}): "
        f"{worst(found, lambda f: f[1].wasted, lambda f: f'{short(f[0])} {percent(f[1].share)} of {size(f[1].bytes)}')}.",
        "VACUUM makes the room usable for new rows of the same chunk, which a chunk of the past does not get; to give it back, "
        + rewrite,
        maintain(facts, "vacuum") if any(relation.dead for relation, _ in found) else None,
    )
