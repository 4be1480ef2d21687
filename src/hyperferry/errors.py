"""One hierarchy of errors: what happened, the facts, what to do next, and the exit code.

Every error that a user can meet is a `HyperferryError`. Its text is made of three parts, in this order:
the message (what happened), the facts (names, numbers, versions) and the remedy (what to do next).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "CaptureBroken",
    "Conflict",
    "ConnectionFailed",
    "Failed",
    "HyperferryError",
    "Interrupted",
    "LockUnavailable",
    "NotInTime",
    "NotProved",
    "NotSettled",
    "OutOfTime",
    "Refused",
    "SchemaChanged",
    "Usage",
]


class HyperferryError(Exception):
    """Base of all errors that reach a user.

    `message` says what happened in one sentence; `facts` are names and numbers in the order in which they
    should be read; `remedy` says what to do next. `exit_code` is what the command ends with.
    """

    exit_code = 1

    def __init__(
        self, message: str, *, facts: Mapping[str, object] | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.facts: dict[str, object] = dict(facts or {})
        self.remedy = remedy

    def __str__(self) -> str:
        """The three parts as plain text, a fact a line."""
        lines = [self.message]
        lines += [f"  {name}: {value}" for name, value in self.facts.items()]
        if self.remedy:
            lines.append(f"What to do: {self.remedy}")
        return "\n".join(lines)


class Failed(HyperferryError):
    """The work could not be done (exit code 1)."""

    exit_code = 1


class ConnectionFailed(Failed):
    """No connection to the server, or it was lost and could not be had again."""


class LockUnavailable(Failed):
    """A lock could not be had within the bounded number of attempts; the blockers are among the facts."""


class NotInTime(LockUnavailable):
    """Sessions of others were in the way for as long as `--max-wait` allowed; they are among the facts."""


class Conflict(Failed):
    """Another hyperferry works on the same rollout."""


class Usage(HyperferryError):
    """Wrong usage of a command (exit code 2)."""

    exit_code = 2


class Refused(HyperferryError):
    """Refused: a blocker, a difference found, a stale plan, a missing confirmation (exit code 3)."""

    exit_code = 3


class NotSettled(Failed):
    """A swap was committed, and what comes after it was not done: `report` (a model.report.SwapReport) says what was. Exit code
    1, or 4 where the user interrupted it, which kept the work."""

    def __init__(
        self, message: str, report: Any, *, facts: Mapping[str, object], remedy: str, exit_code: int = Failed.exit_code
    ) -> None:
        super().__init__(message, facts=facts, remedy=remedy)
        self.report = report
        self.exit_code = exit_code


class NotProved(Refused):
    """A swap whose proof no longer counted under the lock. `attempts` and `stall_ms` (the longest) until then."""

    attempts = 0
    stall_ms = 0.0


class SchemaChanged(Refused):
    """The table is not what the plan saw."""


class CaptureBroken(Refused):
    """Our triggers are missing, disabled or were changed, so changes may have been lost."""


class Interrupted(HyperferryError):
    """Interrupted by the user with the work kept (exit code 4)."""

    exit_code = 4


class OutOfTime(Interrupted):
    """`--max-wait` was over before the swap could be tried at all (exit code 4)."""
