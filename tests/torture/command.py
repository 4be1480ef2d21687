"""The command line: runs schedules, prints what was found and how to replay it. Exit code 0: nothing found; 1: something was."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .conduct import Conductor, Outcome
from .draw import schedule_of
from .program import Programs
from .schedule import RELEASES, Schedule
from .server import Server, server_of
from .shrink import describe, shrink

FOUND_BY = 3
"""A smaller schedule fails when one of so many runs does: threads are not the same each time."""


def run_schedule(schedule: Schedule, server: Server, programs: Programs, *, verbose: bool = False) -> Outcome:
    """One run in a database of its own."""
    with server.database() as name:
        return Conductor(schedule, server, programs, name, verbose).conduct()


def options() -> argparse.ArgumentParser:
    """What the command takes."""
    parser = argparse.ArgumentParser(prog="torture", description="Random tables, writers and faults against hyperferry.")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds, one after the other")
    parser.add_argument("--release", choices=[*RELEASES, "both"], default="both")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the seeds, each with servers of its own")
    parser.add_argument("--repeat", type=int, default=1, help="run each schedule so often")
    parser.add_argument("--schedule", type=Path, help="run the schedule in this file instead")
    parser.add_argument("--show", action="store_true", help="print the schedules as JSON and run nothing")
    parser.add_argument("--shrink", type=int, default=0, metavar="RUNS", help="look for the smallest schedule that still fails")
    parser.add_argument("--keep-going", action="store_true", help="go on after a failure")
    parser.add_argument("--verbose", action="store_true", help="tell what happens")
    parser.add_argument("--tally", type=Path, help="append a line for each run to this file")
    return parser


def schedules(arguments: argparse.Namespace) -> list[Schedule]:
    """The schedules asked for."""
    if arguments.schedule:
        return [Schedule.from_json(arguments.schedule.read_text("utf-8"))]
    releases = RELEASES if arguments.release == "both" else (arguments.release,)
    return [schedule_of(seed, release) for release in releases for seed in range(arguments.seed, arguments.seed + arguments.count)]


def main() -> None:
    """The program."""
    sys.exit(run(sys.argv[1:]))


def run(words: list[str]) -> int:
    """Runs what the words say; the exit code."""
    arguments = options().parse_args(words)
    if arguments.jobs > 1 and not arguments.schedule:
        return _share(arguments)
    chosen = schedules(arguments)
    if arguments.show:
        for schedule in chosen:
            print(schedule.to_json())
        return 0
    total = Total()
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        programs = Programs(Path(folder))
        try:
            for release in RELEASES:
                own = [schedule for schedule in chosen if schedule.release == release]
                if own and (not total.failed or arguments.keep_going):
                    with server_of(release) as server:
                        _run_all(own, server, programs, arguments, total)
        finally:
            programs.close()
    print(total.told(), flush=True)
    return 1 if total.failed else 0


@dataclass
class Total:
    """What all runs came to."""

    runs: int = 0
    failed: int = 0
    seconds: float = 0.0
    transactions: int = 0
    struck: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Counts one run."""
        self.runs += 1
        self.failed += bool(outcome.findings)
        self.seconds += outcome.seconds
        self.transactions += outcome.transactions
        self.struck += outcome.struck

    def told(self) -> str:
        """One line."""
        struck = ", ".join(f"{kind} {n}" for kind, n in sorted(self.struck.items())) or "none"
        return (
            f"{self.runs} runs, {self.failed} failed, {self.seconds / max(self.runs, 1):.1f} s each; "
            f"{self.transactions} transactions; faults that struck: {struck}"
        )


def _run_all(own: list[Schedule], server: Server, programs: Programs, arguments: argparse.Namespace, total: Total) -> None:
    for schedule in own:
        for _ in range(arguments.repeat):
            outcome = run_schedule(schedule, server, programs, verbose=arguments.verbose)
            total.add(outcome)
            _report(schedule, outcome, arguments)
            if outcome.findings:
                if arguments.shrink:
                    _shrink(schedule, server, programs, arguments.shrink)
                if not arguments.keep_going:
                    return
                break


def _shrink(schedule: Schedule, server: Server, programs: Programs, runs: int) -> None:
    def fails(candidate: Schedule) -> bool:
        return any(run_schedule(candidate, server, programs).findings for _ in range(FOUND_BY))

    least = shrink(schedule, fails, runs=runs, say=lambda text: print(f"    {text}", flush=True))
    file = Path(tempfile.gettempdir()) / f"torture-{schedule.seed}-{schedule.release}.json"
    file.write_text(least.to_json() + "\n", "utf-8")
    print(f"    smallest: {describe(least)}\n{least.to_json()}\n    replay: cd tests && python -m torture --schedule {file}", flush=True)


def _share(arguments: argparse.Namespace) -> int:
    """The seeds in as many parts as there are jobs, each in a process of its own."""
    size, more = divmod(arguments.count, arguments.jobs)
    first, running = arguments.seed, []
    for job in range(arguments.jobs):
        count = size + (job < more)
        words = [f"--seed={first}", f"--count={count}", f"--release={arguments.release}", f"--repeat={arguments.repeat}", f"--shrink={arguments.shrink}"]
        words += ["--keep-going"] * arguments.keep_going + ["--verbose"] * arguments.verbose + [f"--tally={arguments.tally}"] * bool(arguments.tally)
        first += count
        if count:
            running.append(subprocess.Popen([sys.executable, "-m", "torture", *words]))
    return max(each.wait() for each in running)


def _report(schedule: Schedule, outcome: Outcome, arguments: argparse.Namespace) -> None:
    word = "FAILED" if outcome.findings else "ok"
    path = " ".join(step.command for step in schedule.steps)
    print(
        f"{word} seed {schedule.seed} {schedule.release} {outcome.seconds:.1f} s, {outcome.commands} commands, {outcome.transactions} transactions, "
        f"longest statement {outcome.longest:.1f} s, struck {dict(outcome.struck)}, errors {dict(outcome.errors)}: {path}",
        flush=True,
    )
    for text in outcome.findings[:10]:
        print(f"    {text}", flush=True)
    if outcome.findings:
        print(f"    replay: make torture SEED={schedule.seed} N=1 RELEASE={schedule.release}", flush=True)
    if arguments.tally:
        with arguments.tally.open("a", encoding="utf-8") as file:
            file.write(
                f"{time.strftime('%H:%M:%S')} pid {os.getpid()} seed {schedule.seed} {schedule.release} {word} {outcome.seconds:.1f} s "
                f"{outcome.findings[:1] or ''}\n"
            )
