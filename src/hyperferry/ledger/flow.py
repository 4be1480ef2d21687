"""Which side is which: changes flow from the table of record (active) to the other one (passive)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from psycopg import sql

from ..model.names import TableName
from ..model.rollout import Direction, Rollout
from .pairs import Pairs, pairs_of


@dataclass(frozen=True)
class Side:
    """One of the two tables, under the name that it has in this phase."""

    name: TableName
    oid: int
    hypertable: bool

    @property
    def ident(self) -> sql.Identifier:
        """The qualified name for SQL."""
        return sql.Identifier(self.name.schema, self.name.name)


@dataclass(frozen=True)
class Flow:
    """One direction of one rollout: everything that capture, apply and verify need to know."""

    rollout: Rollout
    direction: Direction
    active: Side
    passive: Side

    @cached_property
    def pairs(self) -> Pairs:
        """How a row is found again on either side."""
        return pairs_of(self.rollout.plan)

    def of_ledger(self, kind: str) -> sql.Identifier:
        """A table of this rollout in the ledger: `batch`, `quarantine`, `excused`."""
        name = self.rollout.names.of_ledger(kind)
        return sql.Identifier(name.schema, name.name)

    @property
    def log(self) -> sql.Identifier:
        """The change log of this direction: id, op (I, U, D, T; W for a widened slice, R for a repair), the pair."""
        return self.of_ledger(f"{self.direction}_log")

    @property
    def spare_log(self) -> sql.Identifier:
        """A child of the log: reading, deleting from and locking the log means both; an INSERT names one (see apply/tidy.py)."""
        return self.of_ledger(f"{self.direction}_spare_log")

    @property
    def lock(self) -> sql.Identifier:
        """An empty table; who holds it EXCLUSIVE is the one applier of this direction (I3)."""
        return self.of_ledger(f"{self.direction}_lock")


def flow_of(rollout: Rollout, direction: Direction | None = None) -> Flow:
    """The flow in the rollout's present phase (or in the direction given, as if in that phase).

    Needs a rollout whose shadow exists.
    """
    direction = direction or rollout.direction
    names = rollout.names
    if rollout.hypertable_oid is None:
        raise ValueError("the rollout has no shadow yet")
    if direction is Direction.FORWARD:
        return Flow(
            rollout,
            direction,
            active=Side(rollout.table, rollout.source_oid, hypertable=False),
            passive=Side(names.shadow, rollout.hypertable_oid, hypertable=True),
        )
    return Flow(
        rollout,
        direction,
        active=Side(rollout.table, rollout.hypertable_oid, hypertable=True),
        passive=Side(names.old, rollout.source_oid, hypertable=False),
    )
