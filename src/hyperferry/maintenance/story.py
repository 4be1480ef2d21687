"""Maintenance from beginning to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

import psycopg

from ..db import connect, fetch_value, load_queries
from ..db.connection import Connection
from ..errors import Interrupted, Refused
from ..model.health import HealthFacts
from ..model.throttle import Decision
from ..throttle import Sampler, decide
from .look import gather
from .options import MaintainOptions, MaintainReport, Outcome, Task
from .range import place_of
from .tasks import tasks
from .watch import Watch
from .work import Worker, prepare

Say = Callable[[str], None]
LOOK_SECONDS = 1.0


def maintain(options: MaintainOptions, say: Say, stop: threading.Event) -> MaintainReport:
    """Does what the chunks need, one after the other. Raises Usage, Refused; an interruption or the window's end is told by the
    report's `ended`, with what was done until then."""
    with ExitStack() as stack:
        conn = stack.enter_context(connect(options.dsn, purpose="maintain"))
        table, facts = gather(conn, options.table)
        _may(conn, facts)
        report = MaintainReport(str(table), _tasks(conn, facts, options))
        if options.dry_run or not report.tasks:
            return report
        run = _Run(options, say, stop)
        reason = run.wait_for_window()
        if reason is not None:
            return replace(report, ended=reason)
        eyes = stack.enter_context(connect(options.dsn, purpose="maintain watch"))
        prepare(conn, options.full_speed)
        run.sampler.begin(eyes)
        worker = Worker(conn, Watch(conn, eyes, run.should_stop, options.limits.max_lock_wait, options.longest_wait))
        return run.through(report, worker, eyes)


def _may(conn: Connection, facts: HealthFacts) -> None:
    if facts.rollout is not None and facts.rollout.phase != "cut_over":
        raise Refused(
            f"A rollout builds {facts.table}, in phase {facts.rollout.phase}.",
            remedy="maintenance is for a hypertable that is in use: after the cutover.",
        )
    if not facts.chunks:
        return
    name = "may_maintain_17" if conn.info.server_version >= 170000 else "may_maintain"
    query = load_queries(__package__, "maintenance.sql")[name]
    if not fetch_value(conn, query, {"oid": facts.chunks[0].relation.oid}):
        raise Refused(
            f"This role may not maintain {facts.table}.",
            facts={"owner": facts.owner},
            remedy=f"connect as {facts.owner} or a member of that role (PostgreSQL 17: or with the privilege MAINTAIN on the "
            "table).",
        )


def _tasks(conn: Connection, facts: HealthFacts, options: MaintainOptions) -> tuple[Task, ...]:
    older, newer = (
        None if text is None else place_of(conn, facts, text, option)
        for text, option in ((options.older_than, "--older-than"), (options.newer_than, "--newer-than"))
    )
    return tasks(facts, options.kinds, everything=options.everything, older=older, newer=newer)


class _Run:
    """One run over all tasks: window, throttle, progress."""

    def __init__(self, options: MaintainOptions, say: Say, stop: threading.Event) -> None:
        self._options = options
        self._say = say
        self._stop = stop
        self._decision: Decision | None = None
        self.sampler = Sampler(0, copying=False)

    def should_stop(self) -> str | None:
        """Why all is to end now; None: it is not."""
        if self._stop.is_set():
            return "interrupted"
        window = self._options.window
        if window is not None and not window.open(datetime.now(UTC)):
            return f"the window {window} is over"
        return None

    def wait_for_window(self) -> str | None:
        """Returns once the window is open; why not, where it was interrupted."""
        window = self._options.window
        now = datetime.now(UTC)
        if window is None or window.open(now):
            return None
        self._say(f"waiting for the window {window}, which opens at {window.opens(now):%Y-%m-%d %H:%M %Z}")
        while not window.open(datetime.now(UTC)):
            if self._stop.wait(LOOK_SECONDS):
                return "interrupted"
        return None

    def through(self, report: MaintainReport, worker: Worker, eyes: Connection) -> MaintainReport:
        """Does the tasks in order."""
        outcomes: list[Outcome] = []
        worked = 0.0
        for number, task in enumerate(report.tasks, 1):
            ended = self._wait_for_turn(eyes, worked, first=number == 1)
            if ended is None:
                outcome = worker.do(task)
                outcomes.append(outcome)
                worked = outcome.seconds
                self._say(f"{number}/{len(report.tasks)} {_told(outcome)}")
                ended = worker.watch.ended
            if ended is not None:
                return replace(report, outcomes=tuple(outcomes), ended=ended)
        return replace(report, outcomes=tuple(outcomes))

    def _wait_for_turn(self, eyes: Connection, worked: float, *, first: bool) -> str | None:
        """Rests between two tasks, and waits while replicas or slots are too far behind; why all is to end, if it is."""
        until = time.monotonic() + (0.0 if first else self._options.pause)
        looked = 0.0
        while True:
            ended = self.should_stop()
            if ended is not None:
                return ended
            now = time.monotonic()
            if now - looked >= LOOK_SECONDS:
                looked = now
                self._look(eyes)
            pace = self._decision.pace if self._decision is not None else 1.0
            if pace > 0 and now >= until + worked * (1 / pace - 1):
                return None
            self._stop.wait(0.05)

    def _look(self, eyes: Connection) -> None:
        try:
            decision = decide(self.sampler.look(eyes), self._options.limits, self._decision)
        except psycopg.Error as error:
            raise Interrupted(
                "The session that watches was lost; everything done so far is kept.",
                facts={"server said": str(error).strip()},
                remedy="run the same command again to go on.",
            ) from None
        before = self._decision.state if self._decision is not None else "free"
        if decision.state == "stopped" != before:
            self._say(f"waiting: {decision.text}")
        elif before == "stopped" != decision.state:
            self._say("going on")
        self._decision = decision


def _told(outcome: Outcome) -> str:
    task = outcome.task
    if outcome.state == "done":
        sizes = ""
        if outcome.before is not None and outcome.after is not None:
            sizes = f", {outcome.before:,} bytes before, {outcome.after:,} now"
        return f"{task.words}: done in {outcome.seconds:.1f} s ({task.why}{sizes})"
    return f"{task.words}: {outcome.state}, {outcome.reason}"
