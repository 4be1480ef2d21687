"""Jobs that are switched off."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..words import ago, note, warning


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Jobs that are switched off."""
    for job in facts.jobs:
        if job.scheduled:
            continue
        say = warning if job.failures_in_a_row else note
        yield say(
            f"Job {job.id} ({job.procedure} of {job.table or facts.table}) is paused; it last succeeded "
            f"{ago(facts, job.last_success)}.",
            f"SELECT alter_job({job.id}, scheduled => true); or, where it is not wanted any more, SELECT delete_job({job.id});",
        )
