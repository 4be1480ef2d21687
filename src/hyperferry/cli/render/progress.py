"""A rollout at work: a bar where somebody looks, a line every few seconds where nobody does."""

from __future__ import annotations

import contextlib
import threading
import time
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from hyperferry.model.report import StatusReport
from hyperferry.model.rollout import Phase
from hyperferry.words import visible

from .status import progress_line, share_copied

LINE_EVERY = 5.0
"""Seconds between two lines where stderr is no terminal. A change of phase is said at once."""


class Progress:
    """Shows reports as they come, from whatever thread. A stderr that is gone or full stops nothing."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._said_at = 0.0
        self._said_phase: Phase | None = None

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live = Live(Text(""), console=self._console, transient=True, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            with contextlib.suppress(OSError, ValueError):
                self._live.stop()

    def __call__(self, report: StatusReport) -> None:
        """Shows one report."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            if self._live is not None:
                self._live.update(_bar(report))
                return
            now = time.monotonic()
            if report.phase == self._said_phase and now - self._said_at < LINE_EVERY:
                return
            self._said_phase, self._said_at = report.phase, now
            self._console.print(Text(visible(progress_line(report))), soft_wrap=True)


def _bar(report: StatusReport) -> RenderableType:
    line = Text(visible(progress_line(report)))
    share = share_copied(report)
    if share is None or report.phase != Phase.COPYING:
        return line
    return Group(ProgressBar(total=1.0, completed=share), line)
