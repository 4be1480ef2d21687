"""What the parts of a difference are gathered in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from ..model.difference import Step, Unmanaged
from ..model.lifecycle import IndexReading
from ..model.names import quoted_if_needed
from .outcome import Case, Relation
from .statements import Statements


class Turn(IntEnum):
    """When a step's turn comes. What goes makes room first. Policies come when what they work on is there, and what
    drops rows last of all, when the aggregates have been refreshed from those rows."""

    INTERVAL = 1
    REMOVED = 2
    INDEXES = 3
    COMPRESSION = 4
    AGGREGATES = 5
    POLICIES = 6
    RETENTION = 7
    DROPPED = 8


@dataclass
class Parts:
    """The case, and what was found so far. Steps of one turn keep the order in which they were found."""

    case: Case
    make: Statements
    steps: list[tuple[Turn, Step]] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    unmanaged: list[Unmanaged] = field(default_factory=list)

    def pruned(self, key: str) -> bool:
        """Whether --prune names it."""
        return key in self.case.prune

    def ordered(self) -> tuple[Step, ...]:
        """The steps, each in its turn."""
        return tuple(step for _, step in sorted(self.steps, key=lambda pair: pair[0]))


def index_key(relation: Relation, name: str) -> str:
    """The key of an index that has a name."""
    return f"{relation.key('index')}:{quoted_if_needed(name)}"


def reading_key(relation: Relation, reading: IndexReading) -> str:
    """The key of a declared index: by its columns where the server is to find the name."""
    if reading.name is not None:
        return index_key(relation, reading.name)
    return f"{relation.key('index')}:({', '.join(reading.index.columns)})"
