"""The last answer to a question that a thread of its own asks again and again, in each process."""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Watch(Generic[T]):
    """`watch.now()` gives what `ask` last said, without waiting for it; only the first call in a process waits.

    `ask` may raise whatever its driver raises: `troubled` gets the first such error after an answer, and the last answer goes on.
    `changed` gets each answer that differs from the one before; `asked` is called by the thread each time that it has asked,
    whatever came of it. The thread ends with `close`, and when nobody holds the watch.
    """

    def __init__(
        self,
        ask: Callable[[], T],
        *,
        seconds: float,
        name: str,
        troubled: Callable[[Exception], None],
        changed: Callable[[T], None],
        asked: Callable[[], None] = lambda: None,
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._name = name
        self._troubled, self._changed, self._asked = troubled, changed, asked
        self._lock = threading.Lock()
        self._saying = threading.Lock()
        self._asks = itertools.count(1)
        self._newest = 0  # the number of the question whose answer is known
        self._stop = threading.Event()
        self._watched_by: int | None = None  # the process whose thread asks: a thread does not outlive a fork
        self._in_trouble = False
        self.known: T | None = None
        _every.add(self)

    def now(self) -> T | None:
        """The last answer; None where there never was one."""
        if self._watched_by != os.getpid():
            self._begin()
        return self.known

    def start(self) -> None:
        """Asks in this process from now on, and waits for no answer."""
        self._stop = threading.Event()
        self._watched_by = os.getpid()
        self._keep(0)

    def refresh(self) -> T:
        """Asks now; what the driver raises is raised."""
        return self._answer()

    def close(self) -> None:
        """Ends the thread; the last answer goes on."""
        self._stop.set()

    def ask(self) -> None:
        """Asks now; an error is told to `troubled`, once."""
        try:
            self._answer()
        except Exception as error:
            self._trouble(error)
        else:
            self._in_trouble = False

    def ask_and_tell(self) -> None:
        """What the thread does each time; it goes on whatever happens."""
        self.ask()
        try:
            self._asked()
        except Exception as error:
            self._trouble(error)

    def _trouble(self, error: Exception) -> None:
        if not self._in_trouble:
            self._troubled(error)
        self._in_trouble = True

    def _answer(self) -> T:
        """Asks, and keeps the answer, unless one to a question that was asked later has come before it."""
        number = next(self._asks)
        known = self._ask()
        with self._saying:
            if number < self._newest:
                return known
            self._newest = number
            before, self.known = self.known, known
        if known != before:
            self._changed(known)
        return known

    def _begin(self) -> None:
        """Begins to ask in this process: once now, so that the first answer is right, then by a thread."""
        with self._lock:
            if self._watched_by == os.getpid():
                return
            self._stop = threading.Event()
            self.ask()
            try:
                self._keep(self._seconds)
            except RuntimeError as error:  # no thread can be started now: it is asked at each call
                self._trouble(error)
            else:
                self._watched_by = os.getpid()

    def forked(self) -> None:
        """In a forked process nobody will ever give a lock free that a thread held."""
        self._lock, self._saying = threading.Lock(), threading.Lock()

    def _keep(self, first: float) -> None:
        threading.Thread(
            target=_keep_asking,
            args=(weakref.ref(self), self._stop, first, self._seconds),
            name=self._name,
            daemon=True,
        ).start()


def _forked() -> None:
    for watch in list(_every):
        watch.forked()


_every: weakref.WeakSet[Watch[Any]] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _keep_asking(watch: weakref.ref[Watch[Any]], stop: threading.Event, first: float, seconds: float) -> None:
    pause = first
    while not stop.wait(pause):
        held = watch()
        if held is None:
            return
        held.ask_and_tell()
        del held
        pause = seconds
