"""What a rehearsal was asked to do, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from hyperferry.model.finding import Finding
from hyperferry.model.plan import Plan
from hyperferry.model.plan_options import PlanOptions

Say = Callable[[str], None]

DEFAULT_CHUNKS = 200


@dataclass(frozen=True)
class RehearsalOptions:
    """The wishes. `plan`: what exactly is to be rehearsed, where one was made already; else `table` and
    `time_column`. `given`: the server on which a database is made for it; else a sandbox is, of `release` or `server`
    where they are named. `chunks` is the most chunks that are made."""

    dsn: str
    table: str
    time_column: str
    plan_options: PlanOptions = field(default_factory=PlanOptions)
    plan: Plan | None = None
    accept: frozenset[str] = frozenset()
    given: str | None = None
    release: str | None = None
    server: str | None = None
    chunks: int = DEFAULT_CHUNKS
    scan: bool = True


class Status(StrEnum):
    """How a step ended. `skipped`: it could not be tried, and `message` says why."""

    PASSED = "passed"
    REFUSED = "refused"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Step:
    """One step. `details` are facts, a line each."""

    name: str
    status: Status
    message: str
    seconds: float
    remedy: str | None = None
    details: tuple[str, ...] = ()


@dataclass
class RehearsalReport:
    """Everything that was tried. `warnings` say what the rehearsal differs in from the real thing, and so could not show."""

    table: str = ""
    time_column: str = ""
    steps: list[Step] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()
    accepts_needed: tuple[str, ...] = ()
    not_accepted: tuple[str, ...] = ()
    real_server: str = ""
    rehearsed_on: str = ""
    rows: int = 0
    chunks: int = 0
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Nothing was refused, nothing failed, and the job was carried through to its end."""
        return bool(self.steps) and all(step.status is Status.PASSED for step in self.steps)

    @property
    def wrong(self) -> list[Step]:
        """The steps that did not pass."""
        return [step for step in self.steps if step.status is not Status.PASSED]

    def as_json(self) -> dict[str, Any]:
        """For `rehearse --json`."""
        return {
            "table": self.table,
            "time_column": self.time_column,
            "passed": self.passed,
            "steps": [asdict(step) for step in self.steps],
            "warnings": list(self.warnings),
            "accepts_needed": list(self.accepts_needed),
            "not_accepted": list(self.not_accepted),
            "real_server": self.real_server,
            "rehearsed_on": self.rehearsed_on,
            "rows": self.rows,
            "chunks": self.chunks,
            "seconds": self.seconds,
        }
