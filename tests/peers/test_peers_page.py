"""The table of cases cannot rot: each number has a test that is collected, or says why it does not apply."""

from __future__ import annotations

import subprocess
import sys

from . import page
from .cases import CASES


def test_each_of_the_25_has_a_test_or_a_reason() -> None:
    assert list(CASES) == list(range(1, 26))
    tests = page.marked()
    assert not tests.keys() - CASES.keys(), "a mark with a number that no case has"
    for number, case in CASES.items():
        assert bool(tests.get(number)) != bool(case.reason), number


def test_the_marked_tests_are_collected() -> None:
    files = sorted({file.as_posix() for tests in page.marked().values() for file, _ in tests})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "peer", "-p", "no:cacheprovider", "--release", "stable", *files],
        cwd=page.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    collected = {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}
    assert collected == {f"{file.as_posix()}::{name}" for tests in page.marked().values() for file, name in tests}


def test_the_page_is_what_the_marks_say() -> None:
    assert page.FILE.read_text("utf-8") == page.text(), "run `python -m peers` with tests/ on the path"
