"""The command line: runs schedules, prints what was found and how to replay it. Exit code 0: nothing found; 1: something was."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from .conduct import Conductor, Outcome
from .draw import schedule_of
from .program import Programs
from .schedule import RELEASES, Schedule
from .server import Server, server_of


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
    parser.add_argument("--repeat", type=int, default=1, help="run each schedule so often")
    parser.add_argument("--schedule", type=Path, help="run the schedule in this file instead")
    parser.add_argument("--show", action="store_true", help="print the schedule as JSON and run nothing")
    parser.add_argument("--shrink", action="store_true", help="look for the smallest schedule that still fails")
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
    chosen = schedules(arguments)
    if arguments.show:
        for schedule in chosen:
            print(schedule.to_json())
        return 0
    failed = 0
    struck: Counter[str] = Counter()
    seconds = transactions = 0.0
    done = 0
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        programs = Programs(Path(folder))
        try:
            for release in RELEASES:
                own = [schedule for schedule in chosen if schedule.release == release]
                if not own:
                    continue
                with server_of(release) as server:
                    for schedule in own:
                        for _ in range(arguments.repeat):
                            outcome = run_schedule(schedule, server, programs, verbose=arguments.verbose)
                            done += 1
                            seconds += outcome.seconds
                            transactions += outcome.transactions
                            struck += outcome.struck
                            _report(schedule, outcome, arguments)
                            if outcome.findings:
                                failed += 1
                                break
                        if failed and not arguments.keep_going:
                            break
        finally:
            programs.close()
    print(
        f"{done} runs, {failed} failed, {seconds / max(done, 1):.1f} s each; {transactions:.0f} transactions; faults struck: "
        + (", ".join(f"{kind} {n}" for kind, n in sorted(struck.items())) or "none"),
        flush=True,
    )
    return 1 if failed else 0


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
