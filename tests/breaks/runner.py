"""Runs breaks: each must make its test fail, by what the test says and not by a fault of the edit, and the unbroken test must pass."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import servers

from . import catalogue, page
from .model import COMMUNITY, ROOT, TESTS, Break
from .witness import VARIABLE

TIMEOUT_SECONDS = 120
TOGETHER = 12
"""So many breaks' tests are run unbroken in one process."""


@dataclass(frozen=True)
class Run:
    """What one run of pytest told of one test: whether it ran and passed, else why not, and by which kind of error."""

    passed: bool
    why: str
    kind: str
    output: str
    seconds: float


@dataclass(frozen=True)
class Verdict:
    """Whether the break was found, and in which words."""

    found: bool
    text: str
    output: str = ""
    seconds: float = 0.0


def run_tests(nodes: Sequence[str], release: str, source: Path, folder: Path) -> dict[str, Run]:
    """Tests in a process of their own with the hyperferry of `source`; on the servers of this run, if there is one."""
    told = folder / "witness.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "breaks.witness", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["-p", "no:hypothesispytest", "--timeout", str(TIMEOUT_SECONDS), *nodes]
    if release != COMMUNITY:
        command += ["--release", release]
    environment = os.environ | {"PYTHONPATH": f"{source}{os.pathsep}{TESTS}", VARIABLE: str(told)}
    # By these xdist tells its workers that they are workers; ours is none.
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    seconds, output = time.monotonic() - began, done.stdout + done.stderr
    seen = [json.loads(line) for line in told.read_text("utf-8").splitlines()] if told.exists() else []
    for one in seen:
        if not one["tested"].startswith(str(source)):
            raise RuntimeError(f"{one['node']} ran on {one['tested']}, not on {source}")
    return {node: _of_node(node, seen, output, seconds) for node in nodes}


def _of_node(node: str, seen: list[dict[str, str]], output: str, seconds: float) -> Run:
    """All cases of one test: it passes when all do and one ran; its failure is the first one's."""
    own = [one for one in seen if one["node"] == node or one["node"].startswith(f"{node}[")]
    for one in own:
        if one["outcome"] == "failed":
            in_call = one["when"] == "call"
            return Run(False, one["text"] if in_call else f"in {one['when']}: {one['text']}", one["kind"] if in_call else "", output, seconds)
    ran = any(one["when"] == "call" and one["outcome"] == "passed" for one in own)
    return Run(ran, "" if ran else "nothing ran", "", output, seconds)


def unbroken(nodes: Sequence[str], release: str) -> dict[str, Run]:
    """These tests on the sources as they are. One that does not pass beside the others is run once more alone."""
    with tempfile.TemporaryDirectory() as folder:
        found = run_tests(nodes, release, ROOT / "src", Path(folder))
    for node in nodes if len(nodes) > 1 else ():
        if not found[node].passed:
            found |= unbroken([node], release)
    return found


def broken(one: Break) -> Run:
    """The break's test on a broken copy."""
    with tempfile.TemporaryDirectory(prefix="hyperferry-break-") as folder:
        return run_tests([one.node], one.release, one.put_into(Path(folder)), Path(folder))[one.node]


def judge(one: Break, whole: Run, run: Run) -> Verdict:
    """What the test did without the break, and what with it."""
    if not whole.passed:
        return Verdict(False, f"the test does not pass unbroken: {whole.why}", whole.output)
    if run.kind in one.fails_by:
        return Verdict(True, run.why.splitlines()[0][:130], run.output, run.seconds)
    if run.why:
        return Verdict(False, f"fails by {run.kind or 'its set-up'}: {run.why[:200]}", run.output)
    return Verdict(False, "passes", run.output)


def no_server(release: str) -> str:
    """Starts the servers of a release for all that follows; why there is none, else ''."""
    if release != COMMUNITY:
        servers.server_of(release)
    elif not [name for name in servers.community_names() if servers.community_server(name)]:
        return "no server with the Community edition is listed in servers.toml"
    return ""


def torture(one: Break) -> str:
    """Which fixed seed of the torture harness finds the break, and in which words; '' where none does."""
    with tempfile.TemporaryDirectory(prefix="hyperferry-break-") as folder:
        environment = os.environ | {"PYTHONPATH": f"{one.put_into(Path(folder))}{os.pathsep}{TESTS}"}
        for seed in page.TORTURE_SEEDS:
            command = [sys.executable, "-m", "torture", "--release", one.release, "--seed", str(seed)]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            if done.returncode:
                return f"seed {seed}\n{done.stdout[-1500:]}{done.stderr[-500:]}"
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 where every break was found that could be tried, and one was."""
    parser = argparse.ArgumentParser(prog="make breaks ARGS=...", description=__doc__)
    parser.add_argument("which", nargs="*", help="names of breaks, or of invariants (I3); all without")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="how many at once")
    parser.add_argument("--show", action="store_true", help="print what pytest said")
    parser.add_argument("--list", action="store_true", help="names alone, nothing is run")
    parser.add_argument("--page", action="store_true", help="write docs/breaks.md, run nothing")
    parser.add_argument("--torture", action="store_true", help="try the torture harness's fixed seeds instead of the named tests")
    options = parser.parse_args(arguments)
    if options.page:
        page.FILE.write_text(page.text(), "utf-8")
        return 0
    chosen = catalogue.chosen(options.which)
    if options.list:
        for one in chosen:
            print(f"{catalogue.invariant_of(one)}  {one.name}")
        return 0
    if options.torture:
        for one in chosen:
            told = "not tried: the harness knows no Community edition" if one.release == COMMUNITY else torture(one) or "passes them all"
            print(f"{catalogue.invariant_of(one)}  {one.name:40} {told}", flush=True)
        return 0
    servers.begin_run()
    missed: list[str] = []
    pool = ThreadPoolExecutor(options.jobs)
    try:
        missing = {release: no_server(release) for release in sorted({one.release for one in chosen})}
        tried = [one for one in chosen if not missing[one.release]]
        whole: dict[tuple[str, str], Future[dict[str, Run]]] = {}
        runs: dict[str, Future[Run]] = {}
        for group in [tried[start : start + TOGETHER] for start in range(0, len(tried), TOGETHER)]:
            for release in sorted({one.release for one in group}):
                nodes = sorted({one.node for one in group if one.release == release and (one.node, release) not in whole})
                if nodes:
                    done = pool.submit(unbroken, nodes, release)
                    whole |= {(node, release): done for node in nodes}
            runs |= {one.name: pool.submit(broken, one) for one in group}
        for one in chosen:
            if missing[one.release]:
                print(f"not tried  {catalogue.invariant_of(one)}  {one.name:40}          {missing[one.release]}", flush=True)
                continue
            verdict = judge(one, whole[one.node, one.release].result()[one.node], runs[one.name].result())
            if not verdict.found:
                missed.append(one.name)
            mark = "found" if verdict.found else "NOT FOUND"
            line = f"{mark:9}  {catalogue.invariant_of(one)}  {one.name:40} {verdict.seconds:5.1f} s  {verdict.text}"
            print(line + (f"\n{verdict.output}" if options.show else ""), flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
        servers.end_run()
    untried = f"; {len(chosen) - len(tried)} not tried" if len(tried) < len(chosen) else ""
    print(f"{len(tried) - len(missed)} of {len(tried)} breaks found{untried}" + "".join(f"\n  not: {name}" for name in missed))
    return 1 if missed or not tried else 0
