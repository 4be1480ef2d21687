"""The demo from its first step to its last."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

from rich.console import Console

from hyperferry import engine
from hyperferry.db import connect
from hyperferry.errors import Interrupted
from hyperferry.model.finding import Level
from hyperferry.model.plan import Plan
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.report import SwapReport
from hyperferry.words import count, duration, milliseconds, plural, size

from . import data
from .figures import figures, first_error, worked
from .fleet import Fleet
from .options import DemoOptions, DemoReport, OnProgress, Say
from .oracle import Oracle, Verdict
from .place import Place, place
from .proof import application_checks
from .screen import Screen
from .syncing import Syncing

TABLE = "public.player_stats"
TIME = "game_date"
WARM_UP = 2.0
"""Seconds for which the writers run alone, so that their figures without us are known."""


def run_demo(
    options: DemoOptions, *, console: Console, say: Say, progress: OnProgress, stop: threading.Event
) -> DemoReport:
    """The whole job on a table made for it, under load. The report says whether every check held."""
    report = DemoReport()
    screen = Screen(console, report)
    with ExitStack() as stack:
        screen.step("A server")
        where = stack.enter_context(place(options, say))
        versions = f"PostgreSQL {where.postgres_version}, TimescaleDB {where.timescaledb_version}"
        screen.line(f"{where.description}: {versions}, {where.edition} edition")
        story = Story(options, where, screen, report, say, progress, stop)
        story.make_table()
        fleet = stack.enter_context(
            Fleet(where.application_dsn, writers=options.writers, rate=options.rate, seed=options.seed)
        )
        story.run(fleet)
        if options.keep:
            screen.line(f"Kept: {where.kept}")
    return report


class Story:
    """One run: the steps in order, what they measured, and what they must have left behind."""

    def __init__(
        self,
        options: DemoOptions,
        where: Place,
        screen: Screen,
        report: DemoReport,
        say: Say,
        progress: OnProgress,
        stop: threading.Event,
    ) -> None:
        self.options, self.where, self.screen, self.report = options, where, screen, report
        self.say, self.progress, self.stop = say, progress, stop
        self.figures = report.figures
        self.accepts: frozenset[str] = frozenset()

    def make_table(self) -> None:
        """The table as it stands in production."""
        self._continue()
        self.screen.step("A table in use: player_stats, with its key, two indexes, a view, grants")
        began = time.monotonic()
        with connect(self.where.dsn, purpose="demo") as conn:
            data.make_table(conn, rows=self.options.rows, seed=self.options.seed, files=self.options.csv)
            data.make_role(conn, self.where.role, self.where.password)
            rows, total, first, last = data.facts(conn)
        seconds = time.monotonic() - began
        source = ", ".join(each.name for each in self.options.csv) or f"generated, seed {self.options.seed}"
        self.screen.line(
            f"{count(rows)} rows ({source}), {size(total)}, {first} to {last}, in {duration(seconds)}"
        )
        self.figures |= {
            "postgres_version": self.where.postgres_version,
            "timescaledb_version": self.where.timescaledb_version,
            "edition": self.where.edition,
            "database": self.where.database,
            "rows": rows,
            "bytes": total,
            "set_up_seconds": seconds,
        }

    def run(self, fleet: Fleet) -> None:
        """Everything from the first writer to the last check."""
        began = time.monotonic()
        self.writers_alone(fleet)
        plan = self.look()
        self.start(fleet, plan)
        self.verify("before the cutover")
        self.swap(fleet, "cutover")
        self.application_goes_on(fleet)
        self.compare(fleet, "after the cutover")
        self.swap(fleet, "rollback")
        self.compare(fleet, "after the rollback")
        self.verify("before the second cutover")
        self.swap(fleet, "second cutover")
        self.compare(fleet, "after the second cutover")
        self.finish(fleet)
        self.figures["seconds"] = time.monotonic() - began

    def writers_alone(self, fleet: Fleet) -> None:
        """The application at work, before anything of ours is there."""
        self._continue()
        self.screen.step(
            f"{self.options.writers} writers insert, correct and delete, as the role {self.where.role}"
        )
        fleet.report()
        time.sleep(WARM_UP)
        work = fleet.report()
        self.figures["alone"] = figures(work)
        self.screen.line(worked(work))

    def look(self) -> Plan:
        """Preflight and plan."""
        self._continue()
        self.screen.step("Preflight: what stands in the way, and what changes for the application")
        self.screen.command(f"preflight player_stats --time {TIME}")
        began = time.monotonic()
        plan = engine.make_plan(self.where.dsn, TABLE, TIME, PlanOptions())
        seconds = time.monotonic() - began
        numbers = {level: [each for each in plan.findings if each.level == level] for level in Level}
        for finding in (*numbers[Level.BLOCKER], *numbers[Level.WARNING]):
            self.screen.line(f"{finding.level} {finding.rule}: {finding.message}", style="yellow")
        counted = ", ".join(plural(len(found), level.value) for level, found in numbers.items())
        self.screen.check("nothing blocks", not numbers[Level.BLOCKER], f"{counted}, in {duration(seconds)}")
        self._continue()
        self.screen.step("Plan")
        self.screen.command(f"plan player_stats --time {TIME}")
        chunks = plan.inspection.scan.buckets if plan.inspection.scan is not None else 0
        self.screen.line(
            f"chunks of {plan.interval.literal.removeprefix('INTERVAL ')}, {count(chunks)} of them with rows"
        )
        for key in plan.keys:
            self.screen.line(
                f"{key.name}: {key.definition}" + (" (widened by the time column)" if key.widened else "")
            )
        self.screen.line(
            f"{plural(len(plan.indexes), 'other index').replace('indexs', 'indexes')} as they are"
        )
        self.accepts = frozenset(plan.accepts_needed)
        if self.accepts:
            self.screen.line(
                f"this application can live with: {', '.join(sorted(self.accepts))}; it is accepted below"
            )
        self.figures["plan"] = {"chunk_interval": plan.interval.literal, "accepts": sorted(self.accepts)}
        return plan

    def start(self, fleet: Fleet, plan: Plan) -> None:
        """Prepare, copy, catch up, verify."""
        self._continue()
        self.screen.step("Start: copy, catch up and verify while the writers go on")
        self.screen.command("start player_stats")
        fleet.report()
        began = time.monotonic()
        status = engine.start(
            self.where.dsn, TABLE, plan, stop=self.stop, progress=self.progress, say=lambda text: None
        )
        seconds = time.monotonic() - began
        self._continue()
        work = fleet.report()
        rate = status.rows_copied / seconds if seconds else 0.0
        self.figures["start"] = {
            "rows_copied": status.rows_copied,
            "seconds": seconds,
            "rows_per_second": rate,
            "writers": figures(work),
        }
        self.screen.line(
            f"{count(status.rows_copied)} rows in {duration(seconds)}, all told {count(round(rate))} rows/s; "
            f"backlog now {count(status.backlog)}"
        )
        self.screen.line(worked(work))
        self.screen.check("synced", status.phase == "synced", f"phase {status.phase}")

    def verify(self, when: str) -> None:
        """Exact parity, by the tool itself, while the writers go on."""
        self._continue()
        self.screen.step(f"Verify, {when}, while the writers go on")
        self.screen.command("verify player_stats")
        report = engine.verify(self.where.dsn, TABLE, stop=self.stop, say=lambda text: None)
        self.screen.check(
            f"verified {when}",
            report.match,
            f"{count(report.source_rows)} and {count(report.target_rows)} rows, "
            f"{plural(len(report.ranges), 'range')}, "
            f"{plural(report.difference_count, 'difference')}, in {duration(report.seconds)}",
        )

    def swap(self, fleet: Fleet, name: str) -> None:
        """A cutover or a rollback under load, and what the writers felt of it."""
        self._continue()
        back = name == "rollback"
        self.screen.step(f"{name.capitalize()} under load")
        accepts = "" if back else "".join(f" --accept {rule}" for rule in sorted(self.accepts))
        self.screen.command(f"{'rollback' if back else 'cutover'} player_stats{accepts}")
        fleet.report()
        report: SwapReport
        if back:
            report = engine.rollback(self.where.dsn, TABLE, stop=self.stop, say=self.screen.line)
        else:
            report = engine.cutover(
                self.where.dsn, TABLE, accept=self.accepts, stop=self.stop, say=self.screen.line
            )
        time.sleep(0.3)  # Until the writers that waited have their answers.
        work = fleet.report()
        self.figures[name.replace(" ", "_")] = {
            "stall_ms": report.stall_ms,
            "attempts": report.attempts,
            "changes_under_lock": report.changes_under_lock,
            "writers": figures(work),
        }
        self.screen.line(
            f"stall {milliseconds(report.stall_ms)}, {plural(report.attempts, 'attempt')}, "
            f"{plural(report.changes_under_lock, 'change')} applied under the lock"
        )
        self.screen.check(
            f"{name} without a writer's error",
            work.errors == 0,
            f"{count(work.writes)} writes around it, {plural(work.errors, 'error')}, the longest took "
            f"{milliseconds(work.worst_ms)}{first_error(work)}",
        )

    def application_goes_on(self, fleet: Fleet) -> None:
        """The same name, the same role, the same view; and every write carried back meanwhile."""
        self._continue()
        self.screen.step("The application goes on, through the same name and the same role")
        with Syncing(self.where.dsn, TABLE):
            time.sleep(WARM_UP)
        for name, passed, detail in application_checks(self.where):
            self.screen.check(name, passed, detail)
        work = fleet.report()
        self.figures["hypertable"] = figures(work)
        self.screen.line(worked(work))
        self.screen.check(
            "no writer's error", work.errors == 0, plural(work.errors, "error") + first_error(work)
        )

    def compare(self, fleet: Fleet, when: str) -> Verdict:
        """The independent comparison. The writers are held for as long as the snapshot takes."""
        self._continue()
        self.screen.step(f"Nothing lost {when}? Asked of the server, without hyperferry's code")
        expected = fleet.hold()
        began = time.monotonic()
        try:
            status = engine.sync(
                self.where.dsn,
                TABLE,
                stop=self.stop,
                progress=lambda report: None,
                say=lambda text: None,
                until_empty=True,
            )
            oracle = Oracle(self.where.dsn)
        finally:
            held = time.monotonic() - began
            fleet.go()
        with oracle:
            verdict = oracle.judge(expected)
        self.figures.setdefault("comparisons", []).append(
            {
                "when": when,
                "rows": verdict.rows,
                "missing": verdict.missing,
                "extra": verdict.extra,
                "writes_checked": verdict.minded,
                "writes_wrong": verdict.wrong,
                "seconds": verdict.seconds,
            }
        )
        self.screen.line(
            f"writers held for {duration(held)} so that the backlog is empty ({count(status.backlog)}), "
            "then let go"
        )
        self.screen.check(
            f"the two tables are the same {when}",
            not verdict.missing and not verdict.extra,
            f"{count(verdict.rows)} rows, EXCEPT ALL over t::text: {verdict.missing} one way, "
            f"{verdict.extra} the other, "
            f"in {duration(verdict.seconds)}",
        )
        self.screen.check(
            f"every acknowledged write is there {when}",
            not verdict.wrong,
            f"{count(verdict.minded)} rows that the writers mind, {verdict.wrong} not as they were told"
            + (f": {verdict.example}" if verdict.wrong else ""),
        )
        return verdict

    def finish(self, fleet: Fleet) -> None:
        """The end: the old table goes, and what all this cost the writers."""
        self._continue()
        self.screen.step("Finish: the old table goes, the record stays")
        self.screen.command("finish player_stats --confirm player_stats")
        status = engine.finish(self.where.dsn, TABLE, say=lambda text: None)
        time.sleep(0.3)
        work = fleet.report()
        self.screen.check("finished", status.phase == "finished", f"phase {status.phase}")
        self.screen.step("What the writers saw of it all")
        total = fleet.total
        errors = sum(each.errors for each in total)
        writes = sum(each.writes for each in total)
        worst = max(each.worst_ms for each in total)
        self.figures |= {"writes": writes, "writer_errors": errors, "worst_wait_ms": worst}
        self.screen.check(
            "no writer saw an error",
            errors == 0,
            f"{count(writes)} writes, {plural(errors, 'error')}, the longest took "
            f"{milliseconds(worst)}{first_error(work)}",
        )

    def _continue(self) -> None:
        if self.stop.is_set():
            raise Interrupted("The demo was interrupted.", remedy="run it again: it leaves nothing behind.")
