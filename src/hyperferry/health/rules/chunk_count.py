"""How many chunks there are and will be, against what planning bears."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..growth import MARK, growth
from ..words import critical, note, regclass, warning

SOON = 5
"""Years ahead that are worth a word."""
NEAR = 0.7
_KEEP = {
    "apache": "Old chunks go with `hyperferry maintain TABLE --drop-older-than`.",
    "community": "Old chunks go by a policy of retention; merge_chunks makes fewer of those that stay (TimescaleDB 2.18).",
}


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """How many chunks there are and will be, against what planning bears."""
    number = len(facts.chunks)
    remedy = (
        f"make new chunks wider: SELECT set_chunk_time_interval({regclass(facts)}, INTERVAL '...'); it changes nothing of "
        "those that "
        f"are there. {_KEEP[facts.edition]}"
    )
    if number >= MARK:
        yield critical(
            f"{number:,} chunks: planning suffers from about {MARK:,} on, by TimescaleDB's guidance; a query without a time "
            "predicate plans every one.",
            remedy,
        )
        return
    grown = growth(facts)
    if grown is None or grown.years_to_mark is None or grown.years_to_mark > SOON:
        return
    say = warning if grown.years_to_mark < 1 or number >= NEAR * MARK else note
    yield say(
        f"{number:,} chunks, about {grown.measured:,.0f} more a year ({grown.expected:,.0f} by the interval): {MARK:,}, from "
        "where "
        f"planning suffers, in {grown.years_to_mark:.1f} years.",
        remedy,
    )
