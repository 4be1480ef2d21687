"""A rollout that was left half way."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..words import lasting, note, size, warning

LONG = 7 * 86_400.0
TOO_LONG = 30 * 86_400.0


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """A rollout that was left half way."""
    rollout = facts.rollout
    if rollout is None or rollout.phase in ("finished", "aborted", "planned"):
        return
    name = shlex.quote(str(facts.table))
    if rollout.phase != "cut_over":
        yield note(
            f"The rollout of {facts.table} is in phase {rollout.phase}, for {lasting(rollout.age)}; what is looked at here is "
            "the hypertable "
            "that it builds.",
            f"hyperferry status {name}",
        )
        return
    kept = f", {rollout.old} takes {size(rollout.old_bytes)}" if rollout.old_bytes else ""
    if rollout.backlog and rollout.worker is None:
        say = warning
        yield say(
            f"{rollout.backlog:,} changes wait to be carried back to the old table ({size(rollout.log_bytes)} of log), and "
            "nobody works on that: "
            "the way back gets longer, and every write pays for the log.",
            f"hyperferry sync {name}; or, if the way back is not needed any more: hyperferry finish {name}",
            f"hyperferry sync {name}",
        )
    if rollout.age > LONG:
        yield (warning if rollout.age > TOO_LONG else note)(
            f"The cutover was {lasting(rollout.age)} ago and the rollout is not finished: every write is logged for the way "
            f"back{kept}.",
            f"hyperferry finish {name} --confirm {name}, once nobody wants to go back.",
        )
