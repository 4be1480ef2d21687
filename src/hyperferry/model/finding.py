"""What preflight says of a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters: a blocker refuses the rollout, a warning changes something for somebody, a note informs."""

    BLOCKER = "blocker"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One finding of one rule. `accept` names what `cutover --accept` has to be given for it (I9), if anything.
    `strategies` limits it to these strategies (empty: all)."""

    rule: str
    level: Level
    message: str
    remedy: str
    accept: str | None = None
    strategies: tuple[str, ...] = field(default=())
