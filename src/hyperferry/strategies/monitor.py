"""What a worker needs to know while it works: whether to stop, whether to pause; and whom to tell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..db import Blocker
from ..errors import Interrupted, OutOfTime
from ..throttle import Valve
from ..throttle.valve import rest


@dataclass
class Monitor:
    """Shared by all threads of one command. `stop` is set by Ctrl-C, `paused` follows the ledger's control, `valve` the
    throttle's decisions. `until`: when the command gives up, as time.monotonic() has it; None: never. `uncompressed`: OIDs of
    chunks that were tried and are left as they are by this command. `wishes`: limits where the ledger has none."""

    stop: threading.Event
    say: Callable[[str], None] = lambda text: None
    paused: threading.Event = field(default_factory=threading.Event)
    failed: threading.Event = field(default_factory=threading.Event)
    valve: Valve = field(default_factory=Valve)
    until: float | None = None
    uncompressed: set[int] = field(default_factory=set)
    wishes: Mapping[str, str] = field(default_factory=dict)

    def give_up_after(self, seconds: float | None) -> None:
        """From now on `should_stop` raises OutOfTime once so many seconds are over; None: never."""
        self.until = None if seconds is None else time.monotonic() + seconds

    def should_stop(self) -> None:
        """Raises Interrupted when the user asked to stop, another thread failed, or (OutOfTime) the time is over."""
        if self.stop.is_set():
            raise Interrupted(
                "Interrupted; everything done so far is kept.", remedy="run the same command again to go on."
            )
        if self.failed.is_set():
            raise Interrupted("Stopped because another worker failed.")
        if self.until is not None and time.monotonic() > self.until:
            raise OutOfTime(
                "The time that was given is over; nothing was swapped, and everything done so far is kept.",
                remedy="run the same command again, with a longer --max-wait.",
            )

    def wait_while_paused(self) -> None:
        """Returns at once unless the rollout is paused. Raises Interrupted on stop."""
        self.should_stop()
        while self.paused.is_set():
            time.sleep(0.2)
            self.should_stop()

    @contextmanager
    def turn(self, worked: float = 0.0) -> Iterator[None]:
        """A block that begins when the throttle lets a batch begin, which is in flight for the length of it.

        `worked`: the seconds that the last one took. Raises Interrupted."""
        begun = time.monotonic()
        self.wait_while_paused()
        while not self.valve.begin(worked, time.monotonic() - begun):
            time.sleep(0.05)
            self.wait_while_paused()
        begun = time.monotonic()
        try:
            yield
        finally:
            self.valve.end(time.monotonic() - begun)

    def helpers(self, sessions: int) -> int | None:
        """How many parallel workers each of so many sessions may have now at most; None: as the server has it."""
        most = self.valve.decision.workers
        return None if most is None else max(0, most // sessions - 1)

    def rest_from_applying(self, worked: float, until: Callable[[], bool] = lambda: False) -> None:
        """Slows the applier, never stops it: rests after `worked` seconds as long as the throttle says, or `until`."""
        begun = time.monotonic()
        while not until() and time.monotonic() - begun < rest(worked, self.valve.decision.apply_pace):
            self.should_stop()
            time.sleep(0.05)


def telling(monitor: Monitor, what: str) -> Callable[[int, list[Blocker]], None]:
    """Says who is in the way, at the first failure and then now and then."""

    def tell(attempt: int, blockers: list[Blocker]) -> None:
        if attempt == 1 or attempt % 10 == 0:
            names = "; ".join(str(b) for b in blockers[:2]) or "a session that is gone by now"
            monitor.say(f"{what}: attempt {attempt} gave way to {names}")

    return tell
