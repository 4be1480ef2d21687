"""What the demo shows: numbered steps, measured figures, checks that held or did not."""

from __future__ import annotations

import time

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from hyperferry.words import visible

from .options import Check, DemoReport


class Screen:
    """Prints the steps of one run, and notes its checks in the report."""

    def __init__(self, console: Console, report: DemoReport) -> None:
        self._console = console
        self._report = report
        self._number = 0
        self._began = time.monotonic()

    def step(self, title: str) -> None:
        """A new step, with its number and the seconds since the beginning."""
        self._number += 1
        line = Text()
        line.append(f"\n{self._number:>2}. ", style="bold cyan")
        line.append(visible(title), style="bold")
        line.append(f"   {time.monotonic() - self._began:.0f} s", style="dim")
        self._console.print(line)

    def line(self, text: str, *, style: str = "") -> None:
        """A figure or a remark of this step."""
        self._console.print(Padding(Text(visible(text), style=style), (0, 0, 0, 4), expand=False))

    def command(self, text: str) -> None:
        """What a user would type for this step."""
        self.line(f"$ hyperferry {text}", style="italic dim")

    def check(self, name: str, passed: bool, detail: str) -> None:
        """Something that had to be so."""
        self._report.checks.append(Check(name, passed, detail))
        mark = Text("✓ " if passed else "✗ ", style="bold green" if passed else "bold red")
        mark.append(visible(f"{name}: {detail}"), style="" if passed else "bold red")
        self._console.print(Padding(mark, (0, 0, 0, 4), expand=False))
