"""What could not be seen, and so not be judged."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..words import note


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """What could not be seen, and so not be judged."""
    for each in facts.hidden:
        yield note(f"Not seen: {each}.", "connect as the table's owner, or as a member of pg_monitor, to have it judged.")
