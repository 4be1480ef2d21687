"""What the workers ask before each batch: must I wait? Shared by all threads of one command."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..model.throttle import Cause, Decision, Reason
from ..words import duration
from .decision import NO_ANSWER_SECONDS

LONGEST_REST = 30.0
"""Seconds for which one batch, or one round of applying, is rested at most."""


class Valve:
    """Holds the last decision, and the debt of rows that were copied faster than the rate allows."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._decision = Decision()
        self._decided: float | None = None
        self._debt = 0.0
        self._settled = clock()
        self._working = 0
        self._idle_since = clock()
        self._ended: list[tuple[float, float]] = []

    @property
    def decision(self) -> Decision:
        """The last decision; where none came for long although they are made, copying stops."""
        with self._lock:
            silent = 0.0 if self._decided is None else self._clock() - self._decided
            if silent < NO_ANSWER_SECONDS:
                return self._decision
            text = f"the server has not answered for {duration(silent)}"
            return replace(self._decision, pace=0.0, reasons=(Reason(Cause.NO_ANSWER, True, text),))

    def set(self, decision: Decision) -> None:
        """A new decision, from whoever watches."""
        with self._lock:
            self._settle()
            if decision.rate != self._decision.rate and decision.rate is None:
                self._debt = 0.0
            self._decision, self._decided = decision, self._clock()

    def let_go(self) -> None:
        """Nobody watches any more: nothing holds the copy back."""
        with self._lock:
            self._decision, self._decided, self._debt = Decision(), None, 0.0

    def begin(self, worked: float = 0.0, rested: float = 0.0) -> bool:
        """Whether a worker may begin a batch, which is in flight then, until `end`. Its last one took `worked` seconds, and it
        has rested for `rested` since."""
        decision = self.decision
        with self._lock:
            if self._waits(decision, worked, rested):
                return False
            if decision.workers is not None and self._working + self._resting(decision.pace) >= decision.workers:
                return False
            self._working += 1
            return True

    def _resting(self, pace: float) -> int:
        """So many batches ended whose rest is not over. Where not all workers may be at work, one does not begin because another
        rests: the pace is a share of the time of those that may."""
        now = self._clock()
        self._ended = [(end, worked) for end, worked in self._ended if now - end < LONGEST_REST]
        return sum(1 for end, worked in self._ended if now - end < rest(worked, pace))

    def end(self, worked: float = 0.0) -> None:
        """A batch that `begin` let go is done, after `worked` seconds."""
        with self._lock:
            self._working -= 1
            self._idle_since = self._clock()
            if self._decision.workers is not None and worked > 0:
                self._ended.append((self._idle_since, worked))

    @contextmanager
    def batch(self) -> Iterator[None]:
        """A batch is in flight for the length of the block, whether it may begin or not."""
        with self._lock:
            self._working += 1
        try:
            yield
        finally:
            self.end()

    def must_wait(self, worked: float, rested: float) -> bool:
        """Whether a worker waits on that is alone, as for `begin`."""
        decision = self.decision
        with self._lock:
            return self._waits(decision, worked, rested)

    def _waits(self, decision: Decision, worked: float, rested: float) -> bool:
        self._settle()
        return decision.pace == 0 or self._debt > 0 or rested < rest(worked, decision.pace)

    @property
    def idle_seconds(self) -> float:
        """For how long no batch has been in flight."""
        with self._lock:
            return 0.0 if self._working else self._clock() - self._idle_since

    def copied(self, rows: int) -> None:
        """So many rows were copied: with a rate given they are owed."""
        with self._lock:
            self._settle()
            if self._decision.rate is not None:
                self._debt += rows

    def _settle(self) -> None:
        now = self._clock()
        if self._decision.rate is not None:
            self._debt = max(0.0, self._debt - self._decision.rate * (now - self._settled))
        self._settled = now


def rest(worked: float, pace: float) -> float:
    """Seconds of rest after work of `worked` seconds, so that work takes the share `pace` of the time."""
    if pace <= 0:
        return LONGEST_REST
    # 1 / pace may be infinite, and nothing times that is no number.
    return min(worked * (1 / pace - 1), LONGEST_REST) if worked else 0.0
