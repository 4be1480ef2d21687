"""docs/torture.md: its commands are understood, its options are those there are, its faults too."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess

import pytest

from torture import faults
from torture.command import options

from .conftest import ROOT, blocks

PAGE = ROOT / "docs" / "torture.md"
LINES = [line for block in blocks(PAGE) for line in block.body.splitlines() if line.strip()]


@pytest.mark.parametrize("line", LINES)
def test_its_commands_are_understood(line: str) -> None:
    if line.startswith("make "):
        if shutil.which("make") is None:
            pytest.skip("there is no make on this machine")
        words = shlex.split(line, comments=True)
        # What `make test ARGS=...` was told is not for this one.
        clean = {name: value for name, value in os.environ.items() if name not in ("ARGS", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")}
        done = subprocess.run([words[0], "-n", *words[1:]], cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
        line = next(said for said in done.stdout.splitlines() if "-m torture" in said)
    words = shlex.split(line.partition("-m torture")[2])
    assert options().parse_args(words)


def test_its_options_are_those_there_are() -> None:
    rows = re.findall(r"^\| (`--.+?) \|", PAGE.read_text("utf-8"), re.M)
    documented = {option for row in rows for option in re.findall(r"`(--[a-z-]+)", row)}
    there = {option for action in options()._actions for option in action.option_strings if option.startswith("--")}
    assert documented == there - {"--help"}


def test_its_faults_are_those_there_are() -> None:
    _, _, table = PAGE.read_text("utf-8").partition("| fault | |\n|---|---|\n")
    rows = [row.split(" | ")[0] for row in table.partition("\n\n")[0].splitlines()]
    assert {name for row in rows for name in re.findall(r"`([a-z ]+)`", row)} == {*faults.AT_ONCE, *faults.ASIDE}
