"""Where things are printed: results on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.padding import Padding

from hyperferry.errors import HyperferryError

from .failure import as_json as failure_as_json
from .render.text import Line, facts_lines, text_of

WIDE = 100_000
"""The width where nobody looks: lines are cut by whoever reads them, never by us."""


class _Console(Console):
    """rich ends the program when nobody reads any more; whether that matters is for the caller to say."""

    def on_broken_pipe(self) -> None:
        """Leaves it to the caller."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _console(file: TextIO) -> Console:
    # What is no terminal is none, whatever FORCE_COLOR or TTY_COMPATIBLE say: a program reads it, or a log keeps it.
    forced = None if file.isatty() else False
    console = _Console(file=file, markup=False, highlight=False, emoji=False, force_terminal=forced)
    if not console.is_terminal:
        console.width = WIDE
    return console


class Output:
    """What one command prints. `as_json`: stdout gets exactly one JSON object, text goes to stderr alone."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.stdout = _console(sys.stdout)
        self.stderr = _console(sys.stderr)

    def say(self, message: str) -> None:
        """An event in words, on stderr. A stderr that is gone or full must not stop a rollout."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            self.stderr.print(text_of(message))

    def show(self, lines: Iterable[Line | RenderableType], *, on_stderr: bool = False) -> None:
        """Text for people: nothing where JSON was asked for."""
        if self.as_json:
            return
        for line in lines:
            _print(self.stderr if on_stderr else self.stdout, line)

    def give(self, value: Mapping[str, Any], lines: Iterable[Line | RenderableType]) -> None:
        """The result: the object where JSON was asked for, else the text."""
        if self.as_json:
            print(json.dumps(value, default=str), flush=True)
        else:
            self.show(lines)
            self.stdout.file.flush()

    def raw(self, text: str) -> None:
        """Text that a program may read as it is (SQL, a plan): no wrapping, no colour."""
        if not self.as_json:
            print(text, flush=True)

    def fail(self, error: HyperferryError, result: Mapping[str, Any] | None = None) -> None:
        """What happened, the facts, what to do next: on stderr, and as JSON on stdout where asked for, beside the `result` where
        there is one all the same."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            for line in facts_lines(error):
                _print(self.stderr, line)
        if self.as_json:
            print(json.dumps({**(result or {}), **failure_as_json(error)}, default=str), flush=True)


def _print(console: Console, line: Line | RenderableType) -> None:
    if not isinstance(line, Line):
        console.print(line)
    elif console.is_terminal:
        console.print(Padding(line.rich(), (0, 0, 0, line.indent), expand=False))
    else:
        console.print(line.rich(" " * line.indent), soft_wrap=True)
