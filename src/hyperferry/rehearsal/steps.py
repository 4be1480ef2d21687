"""One step after the other: how each ended, and that nothing follows one that did not pass."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from hyperferry.db.connection import without_password
from hyperferry.errors import HyperferryError, Interrupted, Refused

from .options import RehearsalReport, Say, Status, Step
from .programs import interrupted


class Stopped(Exception):
    """A step did not pass, so those after it cannot be tried."""


@dataclass
class Running:
    """A step under way; `message` is what it will have to say."""

    message: str = ""


@dataclass
class Steps:
    """Runs steps into a report."""

    report: RehearsalReport
    say: Say
    stop: threading.Event

    @contextmanager
    def step(self, name: str, *, silent: bool = False, go_on: bool = False) -> Iterator[Running]:
        """Runs one step and keeps how it ended. `silent`: kept only where it did not pass. Raises Stopped where it did
        not, unless the job can `go_on` all the same."""
        check(self.stop)
        running = Running()
        began = time.monotonic()
        status, remedy = Status.PASSED, None
        details: tuple[str, ...] = ()
        try:
            yield running
        except Interrupted:
            raise interrupted() from None
        except (HyperferryError, psycopg.Error) as error:
            check(self.stop)
            status, running.message, remedy, details = _outcome(error)
        if silent and status is Status.PASSED:
            return
        step = Step(name, status, running.message, time.monotonic() - began, remedy, details)
        self.report.steps.append(step)
        self.say(f"{name}: {status}")
        if status is not Status.PASSED and not go_on:
            raise Stopped


def _outcome(error: HyperferryError | psycopg.Error) -> tuple[Status, str, str | None, tuple[str, ...]]:
    """How a step ended that raised this."""
    if isinstance(error, psycopg.Error):
        facts = [error.diag.message_detail, error.diag.message_hint, error.diag.context]
        said = without_password(error.diag.message_primary or str(error))
        details = tuple(without_password(line) for fact in facts if fact for line in fact.splitlines()[:3])
        return Status.FAILED, f"the server refused a statement: {said}", None, details
    status = Status.REFUSED if error.exit_code == Refused.exit_code else Status.FAILED
    details = tuple(without_password(f"{name}: {value}") for name, value in error.facts.items())
    return status, without_password(error.message), error.remedy, details


def check(stop: threading.Event) -> None:
    """Raises Interrupted where the user asked to stop."""
    if stop.is_set():
        raise interrupted()
