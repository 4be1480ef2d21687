"""How many chunks there will be."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.health import MICROSECONDS, HealthFacts

MARK = 10_000
"""Chunks from which on planning suffers, by the vendor's guidance."""
YEAR = 365 * 86_400 * MICROSECONDS
LOOKED_AT = 10
"""Intervals before the present by which the rate is measured."""


@dataclass(frozen=True)
class Growth:
    """`expected` chunks a year by the interval, `measured` by how many of the last intervals have one; `in_a_year` what there
    will
    be, after what retention takes; `years_to_mark` until MARK chunks (None: never). None for integer times, whose year is not
    known."""

    expected: float
    measured: float
    in_a_year: int
    years_to_mark: float | None


def growth(facts: HealthFacts) -> Growth | None:
    """By the interval that new chunks have, and by the last LOOKED_AT of them."""
    if facts.integer_time or not facts.interval or facts.present is None:
        return None
    expected = YEAR / facts.interval * facts.partitions
    since = facts.present - LOOKED_AT * facts.interval
    recent = [chunk for chunk in facts.chunks if chunk.end > since and chunk.start <= facts.present]
    measured = min(expected, expected * len(recent) / ((LOOKED_AT + 1) * facts.partitions))
    number = len(facts.chunks)
    kept = _kept_by_retention(facts)
    in_a_year = round(number + measured)
    years = (MARK - number) / measured if measured > 0 else None
    if kept is not None:
        in_a_year = min(in_a_year, round(max(kept, 0)))
        years = years if kept >= MARK else None
    return Growth(expected, measured, in_a_year, years)


def _kept_by_retention(facts: HealthFacts) -> float | None:
    """Chunks that a policy of retention leaves; None without one."""
    job = next((j for j in facts.policies("policy_retention") if j.scheduled), None)
    if job is None or job.boundary is None or facts.present is None:
        return None
    return (facts.present - job.boundary) / facts.interval * facts.partitions + 1


def locks_of_all(facts: HealthFacts) -> tuple[int, int]:
    """The locks that a statement takes which touches every chunk and its indexes, and the lock table's room."""
    locks = len(facts.chunks) + len(facts.chunk_indexes)
    room = facts.setting("max_locks_per_transaction", 64) * (
        facts.setting("max_connections", 100) + facts.setting("max_prepared_transactions", 0)
    )
    return locks, int(room)
