"""Whether there are workers enough for the jobs of this server."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..words import note, plural, warning

SIDE_BY_SIDE = 8
"""Jobs that are reckoned with at the same time."""


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Whether there are workers enough for the jobs of this server."""
    if not facts.jobs:
        return
    workers = facts.setting("timescaledb.max_background_workers", 16)
    processes = facts.setting("max_worker_processes", 8)
    needed = facts.databases + 1
    message = (
        f"timescaledb.max_background_workers is {workers:.0f}: each of {plural(facts.databases, 'database')} may need one for "
        "its scheduler, "
        f"and this one has {plural(facts.scheduled_jobs, 'scheduled job')}."
    )
    remedy = (
        f"ALTER SYSTEM SET timescaledb.max_background_workers = {max(16, facts.databases + facts.scheduled_jobs)}; with "
        "max_worker_processes "
        "at least that, 3 and max_parallel_workers more; and restart the server."
    )
    if workers < needed:
        yield warning(message, remedy)
    elif workers < facts.databases + min(facts.scheduled_jobs, SIDE_BY_SIDE):
        yield note(message, remedy)
    if processes < workers + 3:
        yield note(
            f"max_worker_processes is {processes:.0f}, less than timescaledb.max_background_workers ({workers:.0f}) and the 3 "
            "that "
            "TimescaleDB's guidance adds: jobs and parallel queries take workers from each other.",
            f"ALTER SYSTEM SET max_worker_processes = {workers + 3 + 8:.0f}; and restart the server.",
        )
