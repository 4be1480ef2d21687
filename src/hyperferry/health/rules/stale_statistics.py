"""Statistics that are old: the planner guesses."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding, Relation
from ..needs import much_changed, never_analyzed
from ..words import ago, maintain, note, plural, short, warning, worst

SHARE = 0.1
ROOT_ROWS = 100_000


def _said(facts: HealthFacts, relation: Relation) -> str:
    return f"{short(relation)} ({relation.modified:,} rows, analyzed {ago(facts, relation.analyzed)})"


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Statistics that are old: the planner guesses."""
    plain = [chunk.relation for chunk in facts.chunks if not chunk.compressed]
    never = [each for each in plain if never_analyzed(each)]
    stale = [each for each in plain if not never_analyzed(each) and much_changed(facts, each)]
    if never or stale:
        parts = []
        if never:
            parts.append(
                f"{plural(len(never), 'chunk')} with rows were never analyzed: "
                f"{worst(never, lambda r: r.live, lambda r: f'{short(r)} ({r.live:,} rows)')}"
            )
        if stale:
            parts.append(
                f"{plural(len(stale), 'chunk')} changed much since: "
                f"{worst(stale, lambda r: r.modified, lambda r: _said(facts, r))}"
            )
        say = warning if len(never) + len(stale) > SHARE * len(plain) else note
        yield say(
            "; ".join(parts) + ". The planner guesses there.",
            f"ANALYZE {(never or stale)[0].name.quoted}; and so on; where it comes back, autovacuum does not get there.",
            maintain(facts, "analyze"),
        )
    rows = sum(each.estimated_rows for each in facts.relations)
    if facts.root_analyzed is None and rows >= ROOT_ROWS and not (never or stale):
        yield note(
            "The hypertable as a whole was never analyzed, as far as the statistics remember, and autovacuum never does that: "
            "estimates over "
            "all chunks (GROUP BY, joins) are made without it.",
            # From PostgreSQL 18 on each chunk would be read twice (model/statement.py).
            f"ANALYZE {'ONLY ' if facts.postgresql >= 180000 else ''}{facts.table.quoted}; it reads a sample of every chunk and "
            "stops no writer, but takes seconds for each million rows.",
        )
