"""Chunks that a policy should have compressed by now."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..overdue import late, overdue
from ..words import lasting, listed, plural, warning


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Chunks that a policy should have compressed by now."""
    for job in facts.policies("policy_compression"):
        if job.boundary is None:
            continue
        due = [chunk for chunk in overdue(facts, job) if not chunk.compressed and not chunk.empty]
        if due:
            names = [chunk.relation.name.name for chunk in due]
            yield warning(
                f"Not compressed though older than {job.after}, {plural(len(due), 'chunk')}, which job {job.id} is to do every "
                f"{lasting(job.schedule)}: {listed(names)}. {late(facts, job)}",
                "see why the job does not get there (SELECT * FROM timescaledb_information.job_errors WHERE job_id = "
                f"{job.id};), or run "
                f"it now: CALL run_job({job.id});",
            )
