"""A valve that somebody watches the server for, outside of a rollout: replicas and replication slots, as the applier
heeds them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from ..db import connect_beside
from ..db.connection import Connection
from ..errors import ConnectionFailed
from ..model.throttle import Decision, Limits
from ..throttle import Sampler, Valve, decide

EVERY_SECONDS = 1.0


@contextmanager
def watching(
    conn: Connection,
    *,
    say: Callable[[str], None],
    limits: Limits | None = None,
    every: float = EVERY_SECONDS,
) -> Iterator[Valve]:
    """A valve for `refresh`, for the length of the block. It looks once every second on a session of its own; what it
    cannot see is said once. Where the session is lost, nothing holds the refresh back."""
    valve, ending, ready = Valve(), threading.Event(), threading.Event()
    wanted = limits or Limits()

    def watch(side: Connection) -> None:
        sampler, before, blind = Sampler(0, copying=False), None, set[str]()
        while not ending.is_set():
            samples = sampler.look(side)
            decision = decide(samples, wanted, before)
            valve.set(decision)
            _tell(decision, before, say)
            for what in samples.blind:
                if what not in blind:
                    say(f"the throttle cannot see {what}")
            blind |= set(samples.blind)
            before = decision
            ready.set()
            ending.wait(every)

    def work() -> None:
        try:
            with connect_beside(conn, purpose="throttle") as side:
                watch(side)
        except (psycopg.Error, ConnectionFailed) as error:
            if not ending.is_set():
                say(f"nothing is throttled any more: {str(error).splitlines()[0]}")
        finally:
            valve.let_go()
            ready.set()

    thread = threading.Thread(target=work, name="throttle", daemon=True)
    thread.start()
    try:
        ready.wait(10.0)
        yield valve
    finally:
        ending.set()
        thread.join(10.0)


def _tell(decision: Decision, before: Decision | None, say: Callable[[str], None]) -> None:
    was = "free" if before is None else before.state
    if decision.state == "stopped" != was:
        say(f"refreshing waits: {decision.text}")
    elif was == "stopped" != decision.state:
        say("no longer so: refreshing waits")
