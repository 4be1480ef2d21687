"""Jobs that should have begun and have not."""

from __future__ import annotations

from collections.abc import Iterator
from math import isinf

from ...model.health import HealthFacts, HealthFinding
from ..words import critical, lasting, warning

LEAST = 300.0
PART = 0.1
"""A job may be late by so many seconds, and by this part of its schedule."""
DAY = 86_400.0


def _why(facts: HealthFacts) -> tuple[str, str]:
    if facts.settings.get("timescaledb.restoring") == "on":
        return " timescaledb.restoring is on, so no job runs.", "SELECT timescaledb_post_restore();"
    if facts.scheduler_runs is False:
        return (
            " TimescaleDB's scheduler does not run in this database.",
            "SELECT _timescaledb_functions.start_background_workers();  (before 2.12: _timescaledb_internal.); where that does "
            "not help, "
            "timescaledb.max_background_workers or max_worker_processes is used up: raise it and restart the server",
        )
    return (
        "",
        "see whether workers are free (timescaledb.max_background_workers, max_worker_processes) and what the server's log "
        "says of them; "
        "by hand: CALL run_job(...);",
    )


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Jobs that should have begun and have not."""
    for job in facts.jobs:
        if not job.scheduled or job.next_start is None or job.state == "Running":
            continue
        why, remedy = _why(facts)
        # At once: since its last start, which failed, or since nobody knows when, where it never began.
        due = job.last_start if isinf(job.next_start) else job.next_start
        if due is None:
            yield warning(
                f"Job {job.id} ({job.procedure} of {job.table or facts.table}) is due and has never begun (one that was only "
                f"just added begins within seconds).{why}",
                remedy,
            )
            continue
        behind = facts.now - due
        if behind <= max(LEAST, PART * job.schedule):
            continue
        say = critical if behind > max(DAY, 3 * job.schedule) else warning
        yield say(
            f"Job {job.id} ({job.procedure} of {job.table or facts.table}) was due {lasting(behind)} ago and has not "
            f"begun.{why}", remedy
        )
