"""Jobs whose last run failed."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..words import ago, critical, plural, warning

OFTEN = 3


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Jobs whose last run failed."""
    for job in facts.jobs:
        if job.status != "Failed" and not job.failures_in_a_row:
            continue
        given_up = 0 <= job.max_retries < job.failures_in_a_row
        error = f" It says: {job.last_error}" if job.last_error else ""
        say = critical if given_up or job.failures_in_a_row >= OFTEN else warning
        yield say(
            f"Job {job.id} ({job.procedure} of {job.table or facts.table}) failed {ago(facts, job.last_start)}, "
            f"{plural(max(1, job.failures_in_a_row), 'time')} in a row; it last succeeded {ago(facts, job.last_success)}."
            + (f" After {job.max_retries} retries it waits for its next turn." if given_up else "")
            + error,
            f"mend the cause, see whether it works (CALL run_job({job.id}); this is not counted), and have it run: "
            f"SELECT alter_job({job.id}, next_start => now()); all errors: "
            f"SELECT * FROM timescaledb_information.job_errors WHERE job_id = {job.id} ORDER BY start_time DESC;",
        )
