"""Where a rollout stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .names import Names, TableName
from .plan import Plan, Strategy


class Phase(StrEnum):
    """The phases of a rollout (design: Phases). Compared by name, never by order."""

    PLANNED = "planned"
    PREPARED = "prepared"
    COPYING = "copying"
    SYNCED = "synced"
    CUT_OVER = "cut_over"
    ROLLED_BACK = "rolled_back"
    FINISHED = "finished"
    ABORTED = "aborted"

    @property
    def ended(self) -> bool:
        """Nothing follows."""
        return self in (Phase.FINISHED, Phase.ABORTED)

    @property
    def hypertable_serves(self) -> bool:
        """The application's name means the hypertable."""
        return self in (Phase.CUT_OVER, Phase.FINISHED)


class Direction(StrEnum):
    """Where changes are carried: from the plain table to the hypertable, or back."""

    FORWARD = "forward"
    REVERSE = "reverse"


class Control(StrEnum):
    """What another process asked for, through the ledger."""

    RUN = "run"
    PAUSE = "pause"


@dataclass(frozen=True)
class Rollout:
    """One row of the ledger."""

    id: int
    table: TableName
    source_oid: int
    hypertable_oid: int | None
    strategy: Strategy
    phase: Phase
    control: Control
    plan: Plan
    created_at: datetime
    updated_at: datetime
    reverse_by_event: bool = False
    """Its way back has a row trigger for each of INSERT, UPDATE and DELETE, as a hyperferry from before 2026-12 made them."""

    @property
    def names(self) -> Names:
        """The names of everything that this rollout creates."""
        return Names(self.id, self.table)

    @property
    def direction(self) -> Direction:
        """Where changes flow in this phase."""
        return Direction.REVERSE if self.phase.hypertable_serves else Direction.FORWARD
