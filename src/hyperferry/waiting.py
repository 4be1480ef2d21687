"""A cutover that waits in sync for its time, or until somebody says so from another process: gh-ost's postponed cut-over.

That it waits, and the word that lets it go, are events of the ledger: `waiting`, `go`, `waited`, the newest of which counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from . import gates
from .db.connection import Connection
from .errors import Conflict, LockUnavailable, Refused
from .ledger import store
from .model.rollout import Control, Rollout
from .strategies import blue_green
from .strategies.monitor import Monitor

EVENTS = ["waiting", "go", "waited"]
PROOF_SECONDS = 30.0
"""How often it is looked whether the verification still counts."""
IDLE_SECONDS = 0.5
LATE_SECONDS = 900.0
"""A moment that came while nobody was there for it counts for as long afterwards."""


@dataclass(frozen=True)
class Appointment:
    """What is waited for: a moment (with its zone), or (None) a word from another process. The word ends either."""

    at: datetime | None

    def come(self) -> bool:
        """The moment is here."""
        return self.at is not None and datetime.now(UTC).timestamp() >= self.at.timestamp()

    def text(self, table: object) -> str:
        """What is waited for, for people."""
        word = f"`hyperferry cutover {table} --now`"
        return word if self.at is None else f"{self.at:%Y-%m-%d %H:%M:%S %z}, or {word}"


@dataclass
class Presence:
    """Until when a cutover that waits is known to have been there, at work and not paused, in seconds since the epoch; None:
    it was not yet. Outlives its connections."""

    until: float | None = None

    def missed(self, appointment: Appointment) -> bool:
        """The moment came while nobody was there, and is over for long."""
        assert appointment.at is not None
        at = appointment.at.timestamp()
        return self.until is not None and self.until < at < time.time() - LATE_SECONDS


def keep(
    conn: Connection,
    rollout: Rollout,
    appointment: Appointment,
    monitor: Monitor,
    *,
    prove: Callable[[], object],
    tick: Callable[[], None],
    again: bool = False,
    presence: Presence | None = None,
) -> None:
    """Keeps applying changes until the appointment comes or is called off (Interrupted); proves anew what no longer counts as
    proved, so that the swap need not wait for that. While the rollout is paused it does neither, nor lets the cutover begin.
    Raises Refused where the moment came while it was paused or its connection was lost, and is over by more than LATE_SECONDS:
    whoever chose it did not choose this one.

    `again`: this command waited before, on a connection that was lost: a word that came meanwhile was for it.
    `presence` is kept across such losses."""
    presence = presence or Presence()
    if presence.until is None:
        presence.until = time.time()
    if not again or [event[1] for event in store.last_events(conn, rollout.id, EVENTS)] != ["go"]:
        store.event(
            conn,
            rollout.id,
            "waiting",
            {"for": appointment.text(rollout.table), "pid": conn.info.backend_pid},
        )
    why = "stopped"
    looked: float | None = None
    stands_in_the_way = False  # at the last look, which was not the first
    keep_in_step = blue_green.KeepInStep(conn, monitor)
    try:
        while True:
            monitor.should_stop()
            tick()
            if store.control(conn, rollout.id) is Control.PAUSE:
                monitor.stop.wait(IDLE_SECONDS)
                continue
            if store.last_events(conn, rollout.id, EVENTS)[0][1] == "go":
                why = "told so"
                return
            if appointment.come():
                if presence.missed(appointment):
                    why = "missed"
                    raise _missed(rollout, appointment)
                why = "the time came"
                return
            begun = time.monotonic()
            try:
                if looked is None or begun - looked > PROOF_SECONDS:
                    refusal = _refusal(conn, rollout)
                    if refusal is not None and (looked is None or stands_in_the_way):
                        raise refusal
                    if refusal is not None:  # a temporary view, say, that is gone in a moment, hours before the swap
                        monitor.say(f"{refusal.message} If that is so at the next look as well, the cutover is given up.")
                    # While something stands in the way, each proof would be void as it is made.
                    elif gates.valid_verification(conn, rollout) is None:
                        with suppress(Conflict):  # somebody else verifies just now; theirs counts as well
                            prove()
                    stands_in_the_way = refusal is not None
                    looked = begun = time.monotonic()
                empty = keep_in_step(rollout)
            except LockUnavailable as error:  # somebody rewrites the table, say, and may be done long before the moment comes
                monitor.say(f"{error.message} It is tried again.")
                looked, empty = time.monotonic(), True
            presence.until = time.time()  # a verification that ran over is no absence
            monitor.rest_from_applying(time.monotonic() - begun)
            if empty:
                monitor.stop.wait(IDLE_SECONDS)
    finally:
        if not conn.closed:
            store.event(conn, rollout.id, "waited", {"why": why})


def _missed(rollout: Rollout, appointment: Appointment) -> Refused:
    assert appointment.at is not None
    return Refused(
        f"The moment for the cutover of {rollout.table} was over while it was paused or its connection was lost.",
        facts={"moment": f"{appointment.at:%Y-%m-%d %H:%M:%S %z}", "rollout": rollout.id},
        remedy="give a new --at, or run `hyperferry cutover` without one. Nothing was changed.",
    )


def _refusal(conn: Connection, rollout: Rollout) -> Refused | None:
    try:
        gates.refuse_new_blockers(conn, rollout)
    except Refused as error:
        return error
    return None


def what_for(conn: Connection, rollout: Rollout, worker: str | None) -> str | None:
    """What a cutover that runs now (`worker`, as `engine.worker_of` has it) waits for; None where none waits."""
    found = store.last_events(conn, rollout.id, EVENTS)
    if worker is None or not found or found[0][1] != "waiting":
        return None
    detail = found[0][2]
    return str(detail["for"]) if worker.startswith(f"pid {detail['pid']} ") else None
