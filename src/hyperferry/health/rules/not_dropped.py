"""Chunks that a policy of retention should have dropped by now."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..overdue import late, overdue
from ..words import lasting, listed, plural, size, warning


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Chunks that a policy of retention should have dropped by now."""
    for job in facts.policies("policy_retention"):
        if job.boundary is None:
            continue
        due = overdue(facts, job)
        if due:
            yield warning(
                f"{plural(len(due), 'chunk')} ({size(sum(chunk.total_bytes for chunk in due))}) older than {job.after} are "
                "still there, "
                f"though job {job.id} is to drop them every {lasting(job.schedule)}: "
                f"{listed([chunk.relation.name.name for chunk in due])}. {late(facts, job)}",
                "see why the job does not get there (SELECT * FROM timescaledb_information.job_errors WHERE job_id = "
                f"{job.id};), or run "
                f"it now: CALL run_job({job.id});",
            )
