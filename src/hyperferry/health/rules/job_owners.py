"""Jobs whose owner cannot log in: they never run."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..words import critical


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Jobs whose owner cannot log in: they never run."""
    for job in facts.jobs:
        if job.owner_exists and job.owner_can_login:
            continue
        what = "may not log in" if job.owner_exists else "is not a role any more"
        yield critical(
            f"Job {job.id} ({job.procedure} of {job.table or facts.table}) belongs to {job.owner}, which {what}: it cannot be "
            "started.",
            f"ALTER ROLE {job.owner} LOGIN; or give the job to a role that may: ALTER TABLE ... OWNER TO ..., and add the "
            "policy anew as "
            "that role",
        )
