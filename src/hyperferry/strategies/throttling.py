"""Watches the server while a command works, on a thread and a connection of its own, and follows what was asked for elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import psycopg

from ..db import is_lost_connection, is_transient, pause_seconds
from ..db.connection import Connection
from ..errors import ConnectionFailed, Interrupted
from ..ledger import controls, store
from ..model.rollout import Control, Rollout
from ..model.throttle import DEFAULTS, Decision, Limits, Samples, limits_of
from ..throttle import Company, Sampler, decide, sessions_at_once
from .monitor import Monitor
from .workers import Connect

EVERY_SECONDS = 1.0
NOTED_AGAIN_SECONDS = 10.0
"""How often a decision that stays the same is recorded, with what was seen."""
READY_SECONDS = 10.0
TOO_SLOW = 10
"""So often in a row a look may be too slow for its statement_timeout, or meet a lock, before nothing is bound by it any more."""
PURPOSE = "throttle"


class Watcher(threading.Thread):
    """Looks about once a second, decides, tells the valve and the ledger."""

    def __init__(
        self, connect: Connect, rollout: Rollout, monitor: Monitor, wishes: Mapping[str, str], copying: bool
    ) -> None:
        super().__init__(name=PURPOSE, daemon=True)
        self._connect, self._rollout, self._monitor, self._wishes = connect, rollout, monitor, dict(wishes)
        self._copying = copying
        self._sampler = Sampler(rollout.source_oid, copying=copying)
        self._company = Company()
        self._decision: Decision | None = None
        self._noted: tuple[object, ...] = ()
        self._noted_at = 0.0
        self._blind: set[str] = set()
        self._slow = 0  # looks in a row that were
        self.ending = threading.Event()
        self.ready = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        """The thread's life: a lost connection is made anew; until it is, the valve knows that nobody looks."""
        losses = 0
        while not self.ending.is_set():
            try:
                with self._connect(PURPOSE) as conn:
                    self._sampler.begin(conn)
                    losses = 0
                    self._watch(conn)
            except (psycopg.Error, ConnectionFailed) as error:
                losses += 1
                if not isinstance(error, ConnectionFailed) and not is_lost_connection(error):
                    self._say_blind((f"the throttle: {str(error).splitlines()[0]}",))
                    # A server that does not answer in time is no reason to work at full speed; one that never does is.
                    self._slow += 1
                    if self._slow >= TOO_SLOW or not (is_transient(error) or isinstance(error, psycopg.errors.QueryCanceled)):
                        self._monitor.valve.let_go()
                self.ready.set()
                self.ending.wait(pause_seconds(min(losses, 10)))
            except BaseException as error:
                self.error = error
                self._monitor.failed.set()
                break
        self._monitor.valve.let_go()
        self.ready.set()

    def _watch(self, conn: Connection) -> None:
        while not self.ending.is_set():
            self._follow(conn)
            valve = self._monitor.valve
            standing = valve.idle_seconds if self._decision is not None and self._decision.pace == 0 else 0.0
            samples = beside(self._sampler.look(conn, standing), conn, self._rollout, self._company)
            wishes = self._wishes | controls.limits(conn, self._rollout.id)
            # Applying is one session's work, whatever the number of cores.
            limits = limits_of(wishes if self._copying else wishes | {"max_rate": "none", "max_cores": "none"})
            samples = replace(samples, blind=samples.blind + self._hidden(samples, limits))
            decision = decide(samples, limits, self._decision)
            valve.set(decision)
            self._tell(decision)
            self._say_blind(samples.blind)
            self._note(conn, decision, samples, wishes)
            self._decision, self._slow = decision, 0
            self.ready.set()
            self.ending.wait(EVERY_SECONDS)

    def _hidden(self, samples: Samples, limits: Limits) -> tuple[str, ...]:
        """What of the company cannot be seen, where that matters."""
        if limits.max_cores is None or not samples.company or samples.workers < 2:
            return ()
        if limits.max_cores.of(samples.cores) is None:
            so = f"all {samples.workers} workers go on beside others unless --max-cores says how many may"
            return (f"how many cores the server has: {so}",)
        if self._company.hidden:
            so = "what they do is hidden from this role; grant it pg_monitor"
            return (f"whether others are at work: {so}",)
        return ()

    def _follow(self, conn: Connection) -> None:
        """Pauses and resumes as the ledger says; nothing is left to pause once the rollout has ended."""
        paused, now = self._monitor.paused, store.get(conn, self._rollout.id)
        if now.control is not Control.PAUSE or now.phase.ended:
            paused.clear()
        elif not paused.is_set():
            self._monitor.say("paused; `hyperferry resume` lets it go on")
            paused.set()

    def _tell(self, decision: Decision) -> None:
        before = self._decision.state if self._decision is not None else "free"
        what = "copying waits" if self._copying else "applying is slowed"
        if decision.state == "stopped" != before:
            self._monitor.say(f"{what}: {decision.text}")
        elif before == "stopped" != decision.state:
            self._monitor.say(f"no longer so: {what}")

    def _say_blind(self, blind: tuple[str, ...]) -> None:
        for what in blind:
            if what not in self._blind:
                self._monitor.say(f"the throttle cannot see {what}")
        self._blind |= set(blind)

    def _note(
        self, conn: Connection, decision: Decision, samples: Samples, wishes: Mapping[str, str]
    ) -> None:
        key = (decision.state, tuple((r.cause, r.stops) for r in decision.reasons), samples.blind, wishes)
        now = time.monotonic()
        if key == self._noted and now - self._noted_at < NOTED_AGAIN_SECONDS:
            return
        controls.note_state(conn, self._rollout.id, _state(decision, samples, wishes))
        self._noted, self._noted_at = key, now


def _state(decision: Decision, samples: Samples, wishes: Mapping[str, str]) -> dict[str, Any]:
    """What `status` shows of a decision."""
    return {
        "state": decision.state,
        "pace": decision.pace,
        "apply_pace": decision.apply_pace,
        "rate": decision.rate,
        "reasons": [asdict(reason) for reason in decision.reasons],
        "limits": {**DEFAULTS, **wishes},
        "seen": {
            "replica_lag_seconds": max((r.seconds for r in samples.replicas), default=None),
            "slot_lag_bytes": max((s.kept for s in samples.slots), default=None),
            "latency_ms": samples.latency_ms,
            "baseline_ms": samples.baseline_ms,
            "lock_wait_seconds": max((w.seconds for w in samples.lock_waits), default=None),
            "others_at_work": samples.company,
        },
        "blind": list(samples.blind),
    }


def beside(samples: Samples, conn: Connection, rollout: Rollout, company: Company) -> Samples:
    """The samples with who is at work beside us, on how many cores."""
    cores = rollout.plan.inspection.server.cores
    return replace(samples, company=company.look(conn), cores=cores, workers=rollout.plan.workers)


def sharing(rollout: Rollout, monitor: Monitor) -> Callable[[Connection], int | None]:
    """How many processes may verify at once, by a look at who else is at work: as many as the server has cores where nobody is
    (more are in each other's way), None where that is not known; for commands that no watcher runs beside."""
    company = Company()

    def share(conn: Connection) -> int | None:
        samples = beside(Samples(), conn, rollout, company)
        bound = sessions_at_once(samples, limits_of({**monitor.wishes, **controls.limits(conn, rollout.id)}))[0]
        return samples.cores if bound is None else bound

    return share


@contextmanager
def throttling(
    connect: Connect, rollout: Rollout, monitor: Monitor, wishes: Mapping[str, str], *, copying: bool
) -> Iterator[None]:
    """Watches for the length of the block. `wishes` are the limits where the ledger has none of its own; without `copying`
    only what slows the applier is looked at.

    The block begins when the first look is done, so that the latency without copying is known. Raises what went wrong in
    the watcher.
    """
    monitor.wishes = wishes
    watcher = Watcher(connect, rollout, monitor, wishes, copying)
    watcher.start()
    try:
        watcher.ready.wait(READY_SECONDS)
        yield
    except Interrupted:
        if watcher.error is not None:
            raise watcher.error from None
        raise
    finally:
        watcher.ending.set()
        watcher.join(timeout=READY_SECONDS)
    if watcher.error is not None:
        raise watcher.error
