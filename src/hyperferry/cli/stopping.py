"""Ctrl-C and SIGTERM ask the engine to stop at the next safe place; the work is kept."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from hyperferry.errors import Interrupted


@dataclass(frozen=True)
class Words:
    """What is said at the first and at the second signal, and why the third leaves."""

    ending: tuple[str, ...]
    left: str
    remedy: str


ROLLOUT = Words(
    (
        "Stopping at the next safe place; everything done so far is kept.",
        "Still at what is in flight. Once more, and it is left: the server undoes that one batch.",
    ),
    "Left in the middle of a batch.",
    "run the same command again: it goes on from there.",
)
FOR_ITSELF = Words(
    (
        "Stopping: what was made for this run is taken away first.",
        "Still taking away what was made for this run. Once more, and it is left there.",
    ),
    "Left before what was made for this run was taken away.",
    "nothing of yours was touched. `hyperferry sandbox status` shows a sandbox that stayed; on a server that was named, look "
    "for a database hyperferry_*.",
)
"""For commands that work on nothing but what they made themselves."""


@contextmanager
def stopping(
    say: Callable[[str], None], leave: Callable[[Interrupted], None], words: Words = ROLLOUT
) -> Iterator[threading.Event]:
    """An event that is set by the first Ctrl-C, SIGTERM or closed terminal, for the length of the block.

    The second says that the work is being finished; the third calls `leave` and ends the process with exit
    code 4, which loses nothing, since the ledger and the data it speaks of are written together.
    """
    stop = threading.Event()
    calls = 0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal calls
        stop.set()
        if calls < len(words.ending):
            say(words.ending[calls])
            calls += 1
            return
        leave(Interrupted(words.left, remedy=words.remedy))
        os._exit(Interrupted.exit_code)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    wanted = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {
        each: signal.signal(each, on_signal) for each in wanted if signal.getsignal(each) != signal.SIG_IGN
    }
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
