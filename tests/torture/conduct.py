"""Conducts one schedule: the writers, the program's commands with their faults, the comparisons, the end."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal

import psycopg

from kit import oracle
from kit.tables import Table as KitTable

from . import faults, judge
from .program import Programs, Run
from .proxy import Proxy
from .schedule import Fault, Schedule, Step
from .server import Server
from .tables import APPLICATION, OWNER, Connection, Shape, statements
from .values import CLOCKS
from .writers import Working, pids_in

ACCEPT = "widened-key,on-conflict-key,cross-chunk-updates,view-groups-by-key"
COMMAND_SECONDS = 150.0
SYNC_SECONDS = 6.0
FAULTY_RUNS = 3
CLEAN_RUNS = 4
REACHED = {
    "start": ("synced", "cut_over", "rolled_back"),
    "cutover": ("cut_over",),
    "rollback": ("rolled_back",),
}
HOSTILE = ("statement_timeout", "lock_timeout", "transaction_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout")
"""Settings that a program which depends on nobody's must not mind."""
BUSY = ("Another hyperferry works", "was not to be had", "were not to be had", "gave way every time")
GRAVE = ("are not the same", "cannot take", "is not what was verified")
"""Refusals that nothing but a fault of the program's can be behind, as long as nobody alters the table."""


class Stopped(Exception):
    """Something was found: the run ends here."""


@dataclass
class Outcome:
    """What came of a run. `findings` is empty when everything held."""

    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    commands: int = 0
    transactions: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0


class Conductor:
    """One run. It is the `Stage` of the writers and the `Scene` of the faults."""

    def __init__(self, schedule: Schedule, server: Server, programs: Programs, database: str, verbose: bool = False) -> None:
        self.schedule, self.server, self.programs, self.database_name = schedule, server, programs, database
        self.verbose, self.began = verbose, time.monotonic()
        self.shape = Shape(schedule.table)
        self.outcome = Outcome()
        self.served = self.swapping = self.altered = False
        self.stopping = threading.Event()
        self.proxy = Proxy("127.0.0.1", lambda: server.port)
        self.second = Proxy("127.0.0.1", lambda: server.port)
        self.writers = [Working(n, spec, self, f"{schedule.seed}") for n, spec in enumerate(schedule.writers, 1)]
        self._asides: list[threading.Thread] = []
        self._excuses: list[list[float]] = []
        self._full: list[list[float]] = []
        self._sync: Run | None = None
        self._sync_began = 0.0
        self._step_began = time.monotonic()
        self._before: dict[str, list[tuple[object, ...]]] = {}

    # What writers and faults ask for.

    def pace(self) -> float:
        # The longer a step takes, the slower the writers: on a busy machine they would outrun an applier of small slices.
        return float(1 + ((time.monotonic() - self._step_began) / 3) ** 2)

    def admin(self) -> Connection:
        return self.server.connect(self.database_name)

    def outside(self) -> Connection:
        return self.server.connect(self.database_name, APPLICATION, application_name="app outside")

    def connect_writer(self, tag: int) -> Connection:
        return self.server.connect(self.database_name, APPLICATION, application_name=f"app writer {tag}")

    def found(self, text: str) -> None:
        self.outcome.findings.append(text)

    def is_program(self, pid: int) -> bool:
        return pid in self.proxy.pids or pid in self.second.pids

    def struck(self, fault: Fault) -> None:
        self.say(f"struck: {fault}")
        self.outcome.struck[fault.kind] += 1

    def beside(self, work: Callable[[], None]) -> None:
        def run() -> None:
            # What was found is kept; the thread that runs the steps stops at it.
            with suppress(Stopped):
                work()

        self._asides.append(faults.aside(run))

    def keeps_waiting(self, what: Callable[[], None]) -> None:
        with self._excuse(self._excuses):
            what()

    @contextmanager
    def _excuse(self, kept: list[list[float]]) -> Iterator[None]:
        span = [time.monotonic(), float("inf")]
        kept.append(span)
        try:
            yield
        finally:
            span[1] = time.monotonic()

    def excused(self, since: float, until: float) -> float:
        spans = [*self._excuses, *self._full, *self.server.outages]
        return sum(max(0.0, min(until, end) - max(since, begin)) for begin, end in spans)

    def may_fail(self, error: psycopg.Error, when: float, *, snapshot: bool) -> bool:
        state = error.sqlstate or ""
        if state == "40001":
            return snapshot
        if state == "40P01":
            return not any(map(self.is_program, pids_in(error.diag.message_detail or "")))
        if state == "53100":
            return any(begin <= when <= end + 2.0 for begin, end in self._full)
        lost = not state or state.startswith(("08", "57P"))
        return lost and self.server.was_out(when)

    def again(self, arguments: tuple[str, ...]) -> Run:
        run = self._run(list(arguments), self.second)
        self._end(run)
        return run

    def control(self, command: str) -> None:
        for _ in range(6):
            run = self._run([command, self.shape.name, "--json"], self.second)
            self._end(run)
            if run.code in (0, 3):
                return
            time.sleep(0.3)

    def truncate(self, rows_after: int) -> None:
        def empty() -> None:
            new: dict[int, tuple[int, Decimal] | None] = {writer.tag: None for writer in self.writers}
            try:
                with self.outside() as conn, conn.transaction():
                    conn.execute("SET LOCAL lock_timeout = '8s'")
                    conn.execute(f"TRUNCATE {self.shape.name}")  # type: ignore[call-overload]
                    for writer in self.writers:
                        for _ in range(rows_after):
                            conn.execute("; ".join(writer.hand.draw("insert")))  # type: ignore[call-overload]
                    for writer in self.writers:
                        row = conn.execute("SELECT rows, hash FROM torture.digest(%s::smallint)", [writer.tag]).fetchone()
                        assert row is not None
                        new[writer.tag] = (int(str(row[0])), Decimal(str(row[1])))
            except psycopg.errors.LockNotAvailable:
                return
            except psycopg.Error as error:
                faults._judge(self, error, "TRUNCATE")
                if error.sqlstate in ("40P01", "53100"):
                    return
                new = dict.fromkeys(new)  # the server went away: either is possible
            for writer in self.writers:
                writer.known = new[writer.tag]

        self.keeps_waiting(lambda: self.between(empty))

    def fill_disk(self, seconds: float) -> None:
        small = self.server.small
        if small is None or not self.schedule.table.small_disk:
            return
        with self._excuse(self._full):
            ballast = small / "ballast"
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while file.write(b"x" * 4096) == 4096:
                    pass
            time.sleep(seconds)
            ballast.unlink(missing_ok=True)

    def between(self, action: Callable[[], None]) -> None:
        """Runs it while no writer is in a transaction."""
        with self.still():
            action()

    @contextmanager
    def still(self) -> Iterator[None]:
        """No writer is in a transaction."""
        for writer in self.writers:
            writer.at_work.acquire()
        try:
            yield
        finally:
            for writer in self.writers:
                writer.at_work.release()

    # Commands.

    def _arguments(self, command: str) -> list[str]:
        s, name = self.schedule, self.shape.name
        own = {
            "start": ["--time", s.table.time, "--chunk-interval", CLOCKS[s.table.clock].interval, "--batch-rows", str(s.batch_rows), "--workers", str(s.workers)],
            "cutover": ["--accept", ACCEPT],
            "sync": ["--until-empty"],
            "finish": ["--confirm", name],
        }
        return [command, name, *own.get(command, []), "--json"]

    def say(self, text: str) -> None:
        """For whoever watches."""
        if self.verbose:
            print(f"        {time.monotonic() - self.began:6.2f} {text}", flush=True)

    def _run(self, arguments: list[str], proxy: Proxy) -> Run:
        self.outcome.commands += 1
        dsn = self.server.address(self.database_name, OWNER if self.schedule.owner else "postgres", proxy.own_port)
        return self.programs.start(arguments, dsn, slice_rows=self.schedule.slice_rows)

    def _end(self, run: Run, seconds: float = COMMAND_SECONDS) -> None:
        """Waits for it and looks at its manners."""
        if not run.wait(seconds):
            faults._kill(self, Fault("kill", 0, 0, "", False, 0), run, None)  # type: ignore[arg-type]
            self.found(f"{run.arguments[0]} did not end within {seconds:.0f} s: {run.stderr[-600:]}")
        self.say(f"{run.arguments[0]} ended with {run.code} {_message(run) if run.code else ''}{run.stderr if self.verbose else ''}")
        for text in judge.manners(run):
            self.found(text)
        if self.outcome.findings:
            raise Stopped

    def settle(self) -> None:
        """Waits for everything that goes on beside the program."""
        for thread in self._asides:
            thread.join(COMMAND_SECONDS)
        self._asides.clear()
        self.server.until_back()
        if self.outcome.findings:
            raise Stopped

    def phase(self) -> str:
        with self.admin() as conn:
            return judge.phase(conn)

    def command(self, step: Step) -> None:
        """Runs the step's command until it has done its work, with the step's faults in its first runs."""
        said, before = "", False
        self._step_began = time.monotonic()
        for attempt in range(FAULTY_RUNS + CLEAN_RUNS):
            own = [fault for fault in step.faults if fault.run == attempt] if attempt < FAULTY_RUNS else []
            if not own:
                self.settle()
            struck = sum(self.outcome.struck.values())
            started = time.monotonic()
            holder: list[Run] = []
            ready = threading.Event()

            def current(holder: list[Run] = holder, ready: threading.Event = ready) -> Run:
                ready.wait(10)
                return holder[0]

            self.proxy.arm([faults.trigger(self, fault, current, f"{self.schedule.seed} {step.command} {n}") for n, fault in enumerate(own)])
            run = self._run(self._arguments(step.command), self.proxy)
            holder.append(run)
            ready.set()
            if step.command == "sync" and not run.wait(SYNC_SECONDS):
                run.signal(faults.signal.SIGTERM)  # writers may be faster
            self._end(run)
            self.proxy.arm([])
            if run.code == 0 or (run.code == 4 and step.command == "sync"):
                return
            said = f"{step.command} ended with {run.code}: {_message(run)}"
            if (run.code == 3 and self.altered) or step.leave:
                return
            if any(text in said for text in GRAVE) and not any(thread.is_alive() for thread in self._asides):
                self.found(said)
                raise Stopped
            disturbed = sum(self.outcome.struck.values()) > struck or self.server.was_out(started) or bool(self._asides)
            if (disturbed or before) and run.code == 3 and self.phase() in REACHED.get(step.command, ()):
                return  # an earlier run had done it, and could not say so
            before = before or disturbed
            if not disturbed and not any(text in said for text in BUSY):
                self.found(f"undisturbed, {said}")
                raise Stopped
            time.sleep(0.2)
        self.found(f"never came to its end: {said}")
        raise Stopped

    # The run.

    def conduct(self) -> Outcome:
        started = time.monotonic()
        try:
            self._prepare()
            for step in self.schedule.steps:
                self._step(step)
        except Stopped:
            pass
        finally:
            self.stopping.set()
            if self._sync is not None:
                self._sync.signal(faults.signal.SIGKILL)
            for writer in self.writers:
                if writer.thread.is_alive():
                    writer.thread.join(30)
            self.proxy.close()
            self.second.close()
            self.server.until_back()
        self.outcome.seconds = time.monotonic() - started
        self.outcome.transactions = sum(sum(writer.done.values()) for writer in self.writers)
        self.outcome.errors = sum((writer.errors for writer in self.writers), Counter[str]())
        self.outcome.longest = max(writer.longest for writer in self.writers)
        return self.outcome

    def _prepare(self) -> None:
        with self.admin() as conn:
            for statement in statements(self.shape, len(self.writers), self.schedule.seed):
                conn.execute(statement.replace("{database}", self.database_name))  # type: ignore[call-overload]
            if self.schedule.hostile and self.schedule.owner:
                for name in HOSTILE:
                    conn.execute(f"ALTER ROLE {OWNER} IN DATABASE {self.database_name} SET {name} = '600ms'")  # type: ignore[call-overload]
            self._before = oracle.describe(conn, self._kit())
        for writer in self.writers:
            writer.thread.start()

    def _kit(self) -> KitTable:
        t = self.schedule.table
        return KitTable(t.schema, t.name, t.time, (t.key,) if t.key else (), tuple(self.shape.columns), t.rows)

    def _step(self, step: Step) -> None:
        self._mode(step.command)
        if step.command in ("finish", "abort") or step.leave:
            self._end_sync()
        self.command(step)
        if step.leave:
            self.settle()
            if self.phase():
                self._step(Step("abort"))
            self.altered = False
            with self.admin() as conn:
                self._before = oracle.describe(conn, self._kit())
            self._step(Step("start", quiet=True))
            return
        self._mode(step.command, after=True)
        if self.schedule.syncing and step.command == "start" and self._sync is None:
            self._sync = self._run(["sync", self.shape.name, "--json"], self.second)
            self._sync_began = time.monotonic()
        if step.quiet or step.command in ("finish", "abort"):
            self.settle()
            with self.still():
                self._compare(step.command)
        if step.command in ("finish", "abort"):
            self._ended()
        if self.outcome.findings:
            raise Stopped

    def _mode(self, command: str, *, after: bool = False) -> None:
        """Has writers keep to what I9 lists, from before a cutover until after the rollback; READ COMMITTED alone during swaps."""
        if command not in ("cutover", "rollback"):
            return

        def change() -> None:
            self.swapping = not after
            if command == "cutover" and not after:
                self.served = True
            if command == "rollback" and after:
                self.served = False

        if after:
            self.settle()
        self.between(change)

    def _end_sync(self) -> None:
        run, self._sync = self._sync, None
        if run is None:
            return
        early = run.ended.is_set()
        run.signal(faults.signal.SIGTERM)
        self._end(run)
        excuses = [*self.server.outages, *self._full]
        if run.code not in (0, 4, -15) and not any(end >= self._sync_began for _, end in excuses):
            self.found(f"sync ended with {run.code}{' by itself' if early else ''}: {_message(run)}")

    def _compare(self, command: str) -> None:
        """Both tables, as they are when everything is applied; nobody writes."""
        phase = self.phase()
        if phase in ("synced", "cut_over", "rolled_back"):
            self.command(Step("sync"))
        with self.admin() as conn:
            names = judge.sides(conn, self.shape)
            if phase in ("synced", "cut_over", "rolled_back"):
                if len(names) != 2:
                    self.found(f"after {command}: the tables are {names}")
                for text in judge.differences(conn, self.shape, names[0], names[-1]):
                    self.found(f"after {command} ({phase}), {names[0]} against {names[-1]}: {text}")
            total = conn.execute(f"SELECT count(*) FROM {self.shape.name}").fetchone()  # type: ignore[call-overload]
        for writer in self.writers:
            known, now = writer.known, self._look(writer)
            if known is not None and known != now:
                self.found(f"after {command} ({phase}): writer {writer.tag}'s rows came to {known}, and are {now} now")
        if all(writer.known is not None for writer in self.writers):
            expected = sum(writer.known[0] for writer in self.writers if writer.known)
            if total != (expected,):
                self.found(f"after {command} ({phase}): {total} rows, of which {expected} have an owner")
        if self.outcome.findings:
            raise Stopped

    def _look(self, writer: Working) -> tuple[int, Decimal]:
        with self.admin() as conn:
            row = conn.execute("SELECT rows, hash FROM torture.digest(%s::smallint)", [writer.tag]).fetchone()
            assert row is not None
            return int(str(row[0])), Decimal(str(row[1]))

    def _ended(self) -> None:
        """Nothing of the program's is left but its record; an aborted rollout leaves the table as it was."""
        last = self.phase()
        if last not in ("", "finished", "aborted"):
            self.found(f"the last phase is {last!r}")
        with self.admin() as conn:
            left = judge.leftovers(conn) if last else []
            for _ in range(20):  # a session that was killed needs a moment
                if not left:
                    break
                time.sleep(0.1)
                left = judge.leftovers(conn)
            for text in left:
                self.found(f"left behind after {last}: {text}")
            if last == "aborted" and not self.altered:
                after = oracle.describe(conn, self._kit())
                for kind, before in self._before.items():
                    if after[kind] != before:
                        self.found(f"abort left other {kind}: {before} -> {after[kind]}")


def _message(run: Run) -> str:
    """What a command said when it failed."""
    with suppress(ValueError):
        told = json.loads(run.stdout)
        return " ".join(str(told.get(name)) for name in ("error", "facts", "remedy"))[:1500]
    return run.stderr[-800:]
