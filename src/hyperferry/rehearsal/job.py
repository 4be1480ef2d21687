"""The job on the clone: every command of the real one, and what the application can do before, between and after."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from hyperferry import engine, planner
from hyperferry.errors import Failed, Refused
from hyperferry.model.finding import Finding, Level
from hyperferry.model.plan import Plan, Strategy
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.report import StatusReport
from hyperferry.words import count, milliseconds, plural

from . import compare
from .application import Application, Outcome
from .clone import schema_text
from .look import Real
from .options import RehearsalOptions, RehearsalReport, Say, Status, Step
from .place import Place
from .programs import Programs
from .rows import Times
from .steps import Running, Steps, Stopped, check
from .surroundings import Surroundings
from .twin import Clone

WEEK = 7 * 86_400 * 1_000_000

JOB = ("plan", "start", "abort", "start again", "verify", "cutover", "application on the hypertable", "rollback",
       "application after the rollback", "second cutover", "finish")  # fmt: skip
IN_PLACE = ("plan", "start", "application on the hypertable")


@dataclass
class Rehearsal:
    """The job on the clone, step by step."""

    options: RehearsalOptions
    real: Real
    around: Surroundings
    programs: Programs
    made: Place
    clone: Clone
    report: RehearsalReport
    say: Say
    stop: threading.Event
    before: dict[str, str] = field(default_factory=dict)
    worked: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.table = self.clone.inspection.table.name.quoted
        self.steps = Steps(self.report, self.say, self.stop)
        self.application = Application(self.clone.dsn, self.clone.inspection, self.around.search_path)

    def run(self) -> None:
        """Every step; the first that does not pass ends it, and those after it are listed as not reached."""
        in_place = self.real.strategy is Strategy.IN_PLACE
        try:
            self.fill()
            plan = self.plan()
            self.start(plan, "start")
            if in_place:
                self.play("application on the hypertable")
                return
            self.abort()
            self.start(self.plan(again=True), "start again")
            self.verify()
            self.swap("cutover")
            self.play("application on the hypertable")
            self.swap("rollback")
            self.play("application after the rollback")
            self.swap("second cutover")
            self.finish()
        except Stopped:
            done = {step.name for step in self.report.steps}
            for name in IN_PLACE if in_place else JOB:
                if name not in done:
                    self.report.steps.append(Step(name, Status.SKIPPED, "not reached", 0.0))

    def fill(self) -> None:
        """Made-up rows, as many as the real table will have chunks; and what the application can do with the plain table."""
        with self.steps.step("rows") as step:
            scan, plan = self.real.inspection.scan, self.real.plan
            chunks = min((scan.buckets if scan is not None else 0) or 3, self.options.chunks)
            if scan is not None and scan.buckets > chunks:
                self.report.warnings.append(
                    f"The hypertable will have about {count(scan.buckets)} chunks; {count(chunks)} were rehearsed (--chunks)."
                )
            width = plan.interval.width if plan is not None else WEEK
            latest = (
                scan.maximum
                if scan is not None and scan.maximum not in (None, "infinity", "-infinity")
                else None
            )
            rows = self.application.fill(Times(latest, width, chunks))
            self.report.rows, self.report.chunks = rows, chunks if rows >= chunks else min(rows, 1)
            if rows:
                step.message = f"{plural(rows, 'made-up row')}, for {plural(self.report.chunks, 'chunk')}"
            else:
                step.message = "the table takes none of the rows that could be made up for it; it stays empty"
                self.report.warnings.append(
                    "No row could be made up that the table takes, so triggers and writes were not rehearsed: "
                    + self.application.refusal
                )
            self.worked = {each.what: each.error for each in self.application.play()}
            for what, error in self.worked.items():
                if error is not None:
                    self.report.warnings.append(
                        f"{what} fails on the plain table as well, so it was not rehearsed: {error}"
                    )
            self.before = self._objects()

    def plan(self, *, again: bool = False) -> Plan:
        """The plan for the clone, with the chunk interval of the real one."""
        made: Plan | None = None
        with self.steps.step("plan", silent=again) as step:
            wishes = self.options.plan_options
            if self.real.plan is not None:
                real = self.real.plan
                interval = (
                    str(real.interval.width)
                    if real.interval.integer
                    else real.interval.literal.removeprefix("INTERVAL ").strip("'")
                )
                wishes = PlanOptions(
                    strategy=real.strategy,
                    chunk_interval=interval,
                    batch_rows=real.batch_rows,
                    workers=real.workers,
                    drop_inbound_fks=real.drop_inbound_fks,
                    drop_from_publications=real.drop_from_publications,
                    compression=planner.wish_of(real.compression),
                )
            if wishes.compression is not None and self.clone.inspection.server.edition == "apache":
                wishes = replace(wishes, compression=None)
                if not again:
                    self.report.warnings.append(
                        "compression on the way was not rehearsed: the rehearsal's server has the Apache edition"
                    )
            inspection, findings = engine.preflight(
                self.clone.dsn, self.table, self.clone.inspection.time_column, options=wishes
            )
            self._refuse_blockers(findings)
            made = planner.plan(inspection, findings, wishes)
            if self.real.plan is not None:  # as few rows as there are here lie in any order
                made = replace(made, batch_by=self.real.plan.batch_by)
            step.message = f"chunks of {made.interval.literal.removeprefix('INTERVAL ')}; {plural(len(made.keys), 'key')}"
        assert made is not None
        return made

    def _refuse_blockers(self, findings: tuple[Finding, ...]) -> None:
        blockers = [each for each in findings if each.level is Level.BLOCKER]
        known = {each.rule for each in self.real.findings if each.level is Level.BLOCKER}
        new = [each for each in blockers if each.rule not in known]
        if new:
            raise Failed(
                "Something blocks in the rehearsal that does not on the real server.",
                facts={each.rule: each.message for each in new},
                remedy="rehearse on a server that is more like the real one: --in DSN, or --server NAME.",
            )
        if blockers:
            raise Refused(
                "The same stands in the way on the clone: "
                + ", ".join(sorted({each.rule for each in blockers}))
                + ".",
                remedy="see the preflight's findings.",
            )

    def start(self, plan: Plan, name: str) -> None:
        """Prepare, copy, catch up, verify."""
        with self.steps.step(name) as step:
            status = engine.start(self.clone.dsn, self.table, plan, accept=frozenset({"all"}), stop=self.stop)
            check(self.stop)
            step.message = f"{plural(status.rows_copied, 'row')} copied, phase {status.phase}"

    def abort(self) -> None:
        """Giving up before the cutover must leave the table as it was."""
        with self.steps.step("abort") as step:
            status: StatusReport = engine.abort(self.clone.dsn, self.table)
            step.message = f"phase {status.phase}; "
            self._compare(step)

    def verify(self) -> None:
        """Exact parity."""
        with self.steps.step("verify") as step:
            found = engine.verify(self.clone.dsn, self.table, stop=self.stop)
            if not found.match:
                raise Refused(f"The two sides differ: {plural(found.difference_count, 'difference')}.")
            step.message = f"{plural(found.source_rows, 'row')} on both sides"

    def swap(self, name: str) -> None:
        """A cutover with everything accepted, told apart from what the user accepts; or the way back, after which everything
        must be as it was."""
        with self.steps.step(name) as step:
            if name == "rollback":
                done = engine.rollback(self.clone.dsn, self.table, stop=self.stop)
            else:
                if name == "cutover":
                    self._accepts()
                done = engine.cutover(self.clone.dsn, self.table, accept=frozenset({"all"}), stop=self.stop)
            step.message = f"{milliseconds(done.stall_ms)} under the lock, phase {done.phase}"
            if name == "rollback":
                step.message += "; "
                self._compare(step)

    def _accepts(self) -> None:
        """What the cutover will have to be told besides what the user accepts already: what was found on the real server."""
        if "all" not in self.options.accept:
            self.report.not_accepted = tuple(
                rule for rule in self.report.accepts_needed if rule not in self.options.accept
            )
        if self.report.not_accepted:
            asked = " ".join(f"--accept {rule}" for rule in self.report.not_accepted)
            self.report.warnings.append(
                f"The cutover will ask you to accept what changes for the application: {asked}"
            )

    def play(self, name: str) -> None:
        """What the application could do before, it must be able to do now."""
        with self.steps.step(name, go_on=True) as step:
            outcomes = [each for each in self.application.play() if self.worked.get(each.what) is None]
            broken = [each for each in outcomes if each.error is not None]
            if broken:
                raise _broken(broken)
            step.message = ", ".join(each.what for each in outcomes) or "nothing could be tried"
            if outcomes:
                step.message += ": as on the plain table"

    def finish(self) -> None:
        """The old table goes."""
        with self.steps.step("finish") as step:
            status = engine.finish(self.clone.dsn, self.table)
            step.message = f"phase {status.phase}"

    def _objects(self) -> dict[str, str]:
        return compare.objects(schema_text(self.programs, self.made, stop=self.stop))

    def _compare(self, step: Running) -> None:
        found = compare.changes(self.before, self._objects())
        if found:
            raise Failed(
                f"{plural(len(found), 'object')} of the database are not as before.",
                facts={f"change {number}": text for number, text in enumerate(found[:20], 1)},
                remedy="report it: this should not be.",
            )
        step.message += f"all {len(self.before)} objects of the database are as before"


def _broken(outcomes: list[Outcome]) -> Failed:
    return Failed(
        "The application would get errors: " + ", ".join(each.what for each in outcomes) + ".",
        facts={each.what: each.error for each in outcomes},
        remedy="what is named works on the plain table and fails on the hypertable: change it so that it works on both "
        "(a trigger fires on the chunk there: TG_TABLE_NAME and TG_RELID are the chunk's).",
    )
