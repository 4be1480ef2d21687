"""What a check of migrations was asked to do, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from hyperferry.model.names import TableName

from .sizes import Sizes

Say = Callable[[str], None]


@dataclass(frozen=True)
class CheckOptions:
    """The wishes. `dsn`: the server on which two databases are made; else a sandbox is, of `release` or `server` where they are
    named. `python`, `x`, `env`, `driver` say how the project is run and given its database. `since`: revisions up to that one are
    run and not judged. `pin` is written; `expect` has the SQL `expected`. `hypertables`: tables that are or will be such,
    whatever the revisions make of them."""

    ini: Path
    python: str
    dsn: str | None = None
    release: str | None = None
    server: str | None = None
    sizes: Sizes = field(default_factory=Sizes)
    sizes_from: str | None = None
    hypertables: frozenset[tuple[str, ...]] = frozenset()
    x: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    driver: str | None = None
    since: str | None = None
    offline: bool = True
    extension: bool = True
    accept: frozenset[str] = frozenset()
    pin: Path | None = None
    expect: Path | None = None
    expected: str | None = None


class Level(StrEnum):
    """How bad it is: `error` fails the check, `warning` is shown, `accepted` was an error that the project accepts."""

    ERROR = "error"
    WARNING = "warning"
    ACCEPTED = "accepted"


@dataclass(frozen=True)
class Finding:
    """Something about one revision. `details` are facts, a line each."""

    rule: str
    level: Level
    message: str
    remedy: str
    revision: str | None = None
    file: str | None = None
    line: int | None = None
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table as it was before a revision. `root`: the oid of the hypertable or partitioned table that it is a part of, its own
    else."""

    oid: int
    name: TableName
    root: int
    hypertable: bool


@dataclass(frozen=True)
class Lock:
    """A lock that a statement took. `rewritten`: the table got a new file; `scanned`: the statement went through its rows."""

    table: TableName
    mode: str
    statement: str
    line: int | None
    rewritten: bool = False
    scanned: bool = False
    rows: int | None = None

    @property
    def heavy(self) -> bool:
        """Whether it keeps writers out, or everybody."""
        return self.mode in HEAVY


HEAVY = ("SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE")
"""Locks that keep out writers, the last of them readers too."""

MODES = {
    "AccessShareLock": "ACCESS SHARE",
    "RowShareLock": "ROW SHARE",
    "RowExclusiveLock": "ROW EXCLUSIVE",
    "ShareUpdateExclusiveLock": "SHARE UPDATE EXCLUSIVE",
    "ShareLock": "SHARE",
    "ShareRowExclusiveLock": "SHARE ROW EXCLUSIVE",
    "ExclusiveLock": "EXCLUSIVE",
    "AccessExclusiveLock": "ACCESS EXCLUSIVE",
}
"""The server's names, weakest first, and SQL's."""


@dataclass(frozen=True)
class Revision:
    """A revision of the project."""

    revision: str
    message: str
    file: str
    upgrade: int | None = None
    downgrade: int | None = None
    accepts: frozenset[str] = frozenset()


@dataclass
class RevisionReport:
    """What one revision did. `unseen` are statements whose locks could not be looked at."""

    revision: Revision
    judged: bool
    locks: list[Lock] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    online: bool = False
    offline: bool = False


@dataclass
class CheckReport:
    """Everything that was run and found. `notes` say what the check could not see."""

    project: str = ""
    server: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    revisions: list[RevisionReport] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pinned: str | None = None
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Nothing that fails a check was found."""
        return all(each.level is not Level.ERROR for each in self.findings)

    def as_json(self) -> dict[str, Any]:
        """As other programs read it."""
        return {
            "project": self.project,
            "passed": self.passed,
            "server": self.server,
            "versions": self.versions,
            "revisions": [
                {
                    "revision": each.revision.revision,
                    "message": each.revision.message,
                    "file": each.revision.file,
                    "judged": each.judged,
                    "online": each.online,
                    "offline": each.offline,
                    "locks": [{**asdict(lock), "table": str(lock.table)} for lock in each.locks],
                    "unseen": each.unseen,
                }
                for each in self.revisions
            ],
            "findings": [asdict(each) for each in self.findings],
            "notes": self.notes,
            "pinned": self.pinned,
            "seconds": round(self.seconds, 3),
        }
