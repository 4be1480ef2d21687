"""Chunks that a policy should have been at."""

from __future__ import annotations

from ..model.health import MICROSECONDS, Chunk, HealthFacts, Job
from .words import ago

GRACE = 2
"""Runs of the policy that may pass before a chunk is called overdue."""


def overdue(facts: HealthFacts, job: Job) -> list[Chunk]:
    """Chunks that ended before the policy's boundary, so long ago that it should have come by twice. `job.boundary` must be
    known.
    An integer time has no known pace, so there the boundary alone counts, once the job has run since."""
    if job.boundary is None:
        return []
    allowed = 0 if facts.integer_time else int(GRACE * job.schedule * MICROSECONDS)
    return [chunk for chunk in facts.chunks if chunk.end <= job.boundary - allowed]


def late(facts: HealthFacts, job: Job) -> str:
    """What is known of why."""
    if not job.scheduled:
        return "The job is paused."
    if job.status == "Failed":
        return f"Its last run failed, {ago(facts, job.last_start)}."
    if job.last_success is None:
        return "It has never succeeded."
    return f"It last succeeded {ago(facts, job.last_success)}."
