"""What the demo was asked to do, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hyperferry.model.report import StatusReport

Say = Callable[[str], None]
OnProgress = Callable[[StatusReport], None]


@dataclass(frozen=True)
class DemoOptions:
    """The wishes. `dsn` None: a sandbox made for this run; else a database made for this run on that
    server."""

    dsn: str | None = None
    rows: int = 2_000_000
    csv: tuple[Path, ...] = ()
    release: str | None = None
    rate: int = 500
    writers: int = 4
    seed: int = 20_240_817
    keep: bool = False


@dataclass(frozen=True)
class Check:
    """One thing that had to be so, and was or was not."""

    name: str
    passed: bool
    detail: str


@dataclass
class DemoReport:
    """Everything measured in one run."""

    checks: list[Check] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Every check held."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """For `demo --json`."""
        return {"passed": self.passed, **self.figures, "checks": [asdict(check) for check in self.checks]}
