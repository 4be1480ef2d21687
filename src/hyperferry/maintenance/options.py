"""What is wished for, and what was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ..model.names import TableName
from ..model.throttle import Limits
from .window import Window


class Kind(StrEnum):
    """A kind of maintenance, in the order in which it is done to a chunk."""

    REINDEX = "reindex"
    VACUUM = "vacuum"
    ANALYZE = "analyze"


@dataclass(frozen=True)
class Task:
    """One statement for one table. `index`: what is rebuilt, or, with `remove`, taken away. `freeze`: against wraparound."""

    kind: Kind
    oid: int
    table: TableName
    why: str
    index: TableName | None = None
    index_oid: int | None = None
    freeze: bool = False
    remove: bool = False

    @property
    def words(self) -> str:
        """What it does to what."""
        if self.remove and self.index is not None:
            return f"drop index {self.index.name}"
        if self.index is not None:
            return f"reindex {self.index.name}"
        return f"{self.kind}{' (freeze)' if self.freeze else ''} {self.table.name}"


@dataclass(frozen=True)
class MaintainOptions:
    """`kinds` empty: whichever health finds needed. `everything`: each chunk of the range, needed or not. `pause`: seconds
    between two
    tasks. `longest_wait`: seconds for which a rebuild waits for
    one session to end its transaction. `older_than`, `newer_than`: intervals before now, moments, or integers, as text."""

    dsn: str
    table: str
    kinds: frozenset[Kind] = frozenset()
    everything: bool = False
    older_than: str | None = None
    newer_than: str | None = None
    window: Window | None = None
    pause: float = 0.5
    full_speed: bool = False
    limits: Limits = field(default_factory=Limits)
    longest_wait: float = 60.0
    dry_run: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a task: `done`, `gone` (its chunk or index is not there any more), `skipped` (somebody was in the way) or
    `failed` (the server refused it), and why. `before` and `after`: bytes of an index."""

    task: Task
    state: str
    seconds: float = 0.0
    reason: str = ""
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True)
class MaintainReport:
    """All tasks, and what became of those that were begun. `ended`: why it ended before the last one; None where it did not."""

    table: str
    tasks: tuple[Task, ...]
    outcomes: tuple[Outcome, ...] = ()
    ended: str | None = None

    @property
    def left(self) -> int:
        """Tasks that were not begun, or given up, or failed."""
        return len(self.tasks) - sum(1 for each in self.outcomes if each.state in ("done", "gone"))

    @property
    def failed(self) -> int:
        """Tasks that the server refused."""
        return sum(1 for each in self.outcomes if each.state == "failed")
