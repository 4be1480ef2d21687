"""How far a continuous aggregate is behind what its policy asks for."""

from __future__ import annotations

from ..model.health import MICROSECONDS, Aggregate, HealthFacts

RUNS = 2
"""Runs of the policy that may pass before it is called behind."""


def lag_of(facts: HealthFacts, aggregate: Aggregate) -> int | None:
    """Width on the time's axis between where the aggregate is and where it should be; None where it is where it should be, or
    nothing tells.

    It should reach what the policy's end_offset leaves out, or the newest row of its source where that is earlier; a bucket is
    refreshed once it is whole, so it may be one bucket behind, and as long as the policy needs for RUNS of its schedules.
    """
    job = aggregate.job
    if job is None or aggregate.newest is None:
        return None
    aim = aggregate.newest if aggregate.due is None else min(aggregate.newest, aggregate.due)
    patience = (aggregate.bucket or 0) + (0 if facts.integer_time else int(RUNS * job.schedule * MICROSECONDS))
    first = facts.chunks[0].start if facts.chunks else aim
    reached = max(first, aggregate.watermark) if aggregate.watermark is not None else first
    lag = aim - reached
    return lag if lag > patience else None
