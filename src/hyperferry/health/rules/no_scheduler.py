"""Whether anything runs the jobs at all."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..words import critical, plural


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Whether anything runs the jobs at all."""
    waiting = sum(1 for job in facts.jobs if job.scheduled)
    if not waiting:
        return
    who = (
        f"{plural(waiting, 'job')} of {facts.table} and its aggregates {'waits' if waiting == 1 else 'wait'}"
    )
    if facts.settings.get("timescaledb.restoring") == "on":
        yield critical(
            f"timescaledb.restoring is on in this database, as a restore leaves it that was not ended: no job runs. {who}.",
            "SELECT timescaledb_post_restore(); and where it is on for all databases: ALTER SYSTEM RESET timescaledb.restoring;",
        )
    elif facts.scheduler_runs is False:
        yield critical(
            f"TimescaleDB's scheduler does not run in this database: no job runs. {who}.",
            "SELECT _timescaledb_functions.start_background_workers();  (before 2.12: _timescaledb_internal.); after a restart "
            "of the server it comes by itself within a minute. Where it does not, timescaledb.max_background_workers or "
            "max_worker_processes is used up: raise it and restart the server.",
        )
