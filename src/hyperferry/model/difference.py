"""What stands between a file and a database: steps, refusals, and what the file does not mention."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from psycopg import sql

from .declared import DeclaredIndex
from .lifecycle import Drops
from .names import TableName

__all__ = ["Confirm", "Difference", "Kind", "Refusal", "Step", "Unmanaged", "Work"]


class Kind(StrEnum):
    """What a step does with the thing that it is about."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


class Work(StrEnum):
    """How a step is done: its statements in one transaction; an index built chunk by chunk; an aggregate refreshed in windows."""

    TRANSACTION = "transaction"
    INDEX = "index"
    REFRESH = "refresh"


@dataclass(frozen=True)
class Confirm:
    """What a step needs to be asked for expressly. It drops rows: `drops` by a retention policy, as it would run now; `aggregate`
    is a continuous aggregate with its rows. Or it keeps writers waiting for long (`blocks`)."""

    drops: Drops | None = None
    aggregate: TableName | None = None
    blocks: bool = False


@dataclass(frozen=True)
class Step:
    """One step. `key` says what it is about ('compression', 'index:a_idx'), `what` does it in words, `why` gives the
    reason for it and its place; `lock` is what it locks; `back` how it is undone, None where it cannot be. `relation`
    is locked first."""

    key: str
    kind: Kind
    what: str
    why: str
    statements: tuple[sql.Composed, ...]
    lock: str
    back: str | None
    relation: TableName
    work: Work = Work.TRANSACTION
    index: DeclaredIndex | None = None
    lock_mode: str | None = None
    confirm: Confirm | None = None
    notes: tuple[str, ...] = ()

    @property
    def transactional(self) -> bool:
        """Whether it is one transaction, done or not done."""
        return self.work is Work.TRANSACTION

    @property
    def texts(self) -> tuple[str, ...]:
        """The statements as text, without a semicolon."""
        return tuple(each.as_string(None) for each in self.statements)


@dataclass(frozen=True)
class Refusal:
    """A wish that is not fulfilled: the rule that says so, the key it is about, why, and what to do instead."""

    rule: str
    key: str
    message: str
    remedy: str


@dataclass(frozen=True)
class Unmanaged:
    """Something that the database has and the file does not mention. `removable` by --prune KEY."""

    key: str
    what: str
    removable: bool = True


@dataclass(frozen=True)
class Difference:
    """`steps` in the order in which they are done; `later`: what waits for the cutover of a rollout; `same` is as the
    file wants it; `absent` was to be pruned and is not there."""

    table: TableName
    steps: tuple[Step, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    unmanaged: tuple[Unmanaged, ...] = ()
    same: tuple[str, ...] = ()
    later: tuple[Step, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether the database is as the file wants it."""
        return not (self.steps or self.refusals)
