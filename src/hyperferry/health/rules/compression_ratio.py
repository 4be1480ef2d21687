"""Compression that saves little, and chunks that were never compressed."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..words import note, percent, plural, size, sql_text, warning

POOR = 2.0
SMALL = 10_000_000
CLOSED = 4
"""Intervals after which a chunk counts as closed."""


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Compression that saves little, and chunks that were never compressed."""
    done = [chunk for chunk in facts.chunks if chunk.compressed and chunk.before_bytes and chunk.after_bytes]
    before, after = sum(c.before_bytes or 0 for c in done), sum(c.after_bytes or 0 for c in done)
    if done and before < POOR * after and before > SMALL:
        yield warning(
            f"{plural(len(done), 'compressed chunk')} take {size(after)}, before {size(before)}: {before / after:.1f} times "
            "smaller only.",
            "too many values of segmentby for a chunk (each needs about a hundred rows or more), or an orderby that does not "
            "follow the data: "
            "`hyperferry advise` says which would do better.",
        )
    if facts.compression_enabled and not facts.policies("policy_compression"):
        present = facts.present
        closed = [
            c for c in facts.chunks
            if not c.compressed and not c.empty and present is not None and c.end < present - CLOSED * facts.interval
        ]
        if closed and not (facts.rollout and facts.rollout.phase not in ("cut_over", "finished")):
            share = sum(c.total_bytes for c in closed) / max(1, sum(c.total_bytes for c in facts.chunks))
            yield note(
                f"Compression is set up, but nothing does it: no policy, and {plural(len(closed), 'closed chunk')} "
                f"({percent(share)} of the "
                "table) are as they were.",
                f"CALL add_columnstore_policy({sql_text(facts.table.quoted)}, after => INTERVAL '...');  (before 2.18: "
                "SELECT add_compression_policy(...))",
            )
