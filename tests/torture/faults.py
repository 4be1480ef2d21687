"""What goes wrong, by kind. A fault begins at a message that the program sends to the server; see schedule.Fault.

`AT_ONCE` strike where they stand, while the message waits. `ASIDE` begin there and go on in a thread of their own, so that the
message goes on too.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import psycopg

from .program import Run
from .proxy import Link, Trigger
from .schedule import Fault
from .server import Server
from .tables import Connection, Shape, ident
from .writers import pids_in

HANG_AT_MOST = 20.0
"""A connection hangs on while a writer waits for it: for longer than a writer may be blocked."""


class Scene(Protocol):
    """What faults ask of whoever conducts the run."""

    shape: Shape
    server: Server
    altered: bool

    def admin(self) -> Connection:
        """A session of the superuser in the database."""

    def outside(self) -> Connection:
        """A session of the application's role that is no writer."""

    def keeps_waiting(self, what: Callable[[], None]) -> None:
        """Runs what may block writers, for which nobody but the harness is to blame."""

    def again(self, arguments: tuple[str, ...]) -> Run:
        """The program once more, beside the one that runs."""

    def control(self, command: str) -> None:
        """`pause` or `resume`."""

    def truncate(self, rows_after: int) -> None:
        """TRUNCATE between the writers' transactions."""

    def fill_disk(self, seconds: float) -> None:
        """The small disk is full for so long."""

    def found(self, text: str) -> None:
        """Something that must not be."""

    def is_program(self, pid: int) -> bool:
        """Whether it is, or was, one of the program's sessions."""

    def struck(self, fault: Fault) -> None:
        """The fault has struck."""

    def beside(self, work: Callable[[], None]) -> None:
        """Runs it in a thread that is waited for later."""


def trigger(scene: Scene, fault: Fault, run: Callable[[], Run], seed: str) -> Trigger:
    """The fault, ready to be armed."""
    r = random.Random(seed)

    def strike(link: Link) -> None:
        scene.struck(fault)
        now = AT_ONCE.get(fault.kind)
        if now is not None:
            now(scene, fault, run(), link)
        else:
            work = ASIDE[fault.kind]
            scene.beside(lambda: work(scene, fault, run(), r))

    return Trigger(fault.nth, fault.text.encode(), fault.after, strike)


# Where they stand.


def _kill(scene: Scene, fault: Fault, run: Run, link: Link) -> None:
    run.signal(signal.SIGKILL)
    run.wait(10)


def _term(scene: Scene, fault: Fault, run: Run, link: Link) -> None:
    run.signal(signal.SIGINT if fault.nth % 2 else signal.SIGTERM)


def _drop(scene: Scene, fault: Fault, run: Run, link: Link) -> None:
    link.close()


def _drop_all(scene: Scene, fault: Fault, run: Run, link: Link) -> None:
    link.proxy.drop_all()


def _hang(scene: Scene, fault: Fault, run: Run, link: Link) -> None:
    link.free.clear()

    def end() -> None:
        begun = time.monotonic()
        while time.monotonic() < begun + HANG_AT_MOST:
            time.sleep(0.05)
            if time.monotonic() > begun + fault.seconds and not _blocks(scene, link.pid):
                break
        if fault.nth % 2:
            link.close()
        link.free.set()

    scene.beside(end)


def _blocks(scene: Scene, pid: int | None) -> bool:
    """Whether anybody waits for the session."""
    with suppress(psycopg.Error), scene.admin() as conn:
        return bool(conn.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND %s = ANY(pg_blocking_pids(pid))", [pid]).fetchone() != (0,))
    return False


def _session(function: str) -> Callable[[Scene, Fault, Run, Link], None]:
    def strike(scene: Scene, fault: Fault, run: Run, link: Link) -> None:
        with suppress(psycopg.Error), scene.admin() as conn:
            conn.execute(f"SELECT {function}(%s)", [link.pid])  # type: ignore[arg-type]

    return strike


def _restart(scene: Scene, fault: Fault, run: Run, link: Link) -> None:
    scene.server.restart()


# Beside the program.


def _outside(scene: Scene, statements: list[str], seconds: float) -> None:
    """An outside session holds locks for a while. It is never to be the victim of the program's."""

    def work() -> None:
        try:
            with scene.outside() as conn:
                conn.execute("SET lock_timeout = '8s'; BEGIN")
                for statement in statements:
                    conn.execute(statement)  # type: ignore[call-overload]
                    time.sleep(seconds / len(statements))
                conn.execute("ROLLBACK")
        except psycopg.Error as error:
            _judge(scene, error, "; ".join(statements))

    scene.keeps_waiting(work)


def _judge(scene: Scene, error: psycopg.Error, what: str) -> None:
    if error.sqlstate == "40P01" and any(map(scene.is_program, pids_in(error.diag.message_detail or ""))):
        scene.found(f"an outside session was the victim of a deadlock with the program: {what}: {error.diag.message_detail}")


def _lock(scene: Scene, fault: Fault, run: Run, r: random.Random) -> None:
    mode = r.choice(("ACCESS SHARE", "ROW EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE"))
    _outside(scene, [f"LOCK TABLE {scene.shape.name} IN {mode} MODE"], fault.seconds)


def _deadlock(scene: Scene, fault: Fault, run: Run, r: random.Random) -> None:
    shape = scene.shape
    names = [shape.name, "torture.parent"] + ([ident(shape.table.schema, "view of it")] if shape.table.view else [])
    modes = ("ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE", "ACCESS EXCLUSIVE")
    steps = [f"LOCK TABLE {r.choice(names)} IN {r.choice(modes)} MODE" for _ in range(4)]
    _outside(scene, steps, min(fault.seconds, 1.0))


def _snapshot(scene: Scene, fault: Fault, run: Run, r: random.Random) -> None:
    """A session in REPEATABLE READ reads, waits, reads again: it is waited for, or it sees the same."""
    with suppress(psycopg.Error), scene.outside() as conn:
        conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        conn.execute("SELECT count(*) FROM torture.parent")
        time.sleep(fault.seconds)
        conn.execute("ROLLBACK")


def _maintain(statement: str) -> Callable[[Scene, Fault, Run, random.Random], None]:
    def work(scene: Scene, fault: Fault, run: Run, r: random.Random) -> None:
        text = statement.replace("{table}", scene.shape.name)

        def rewrite() -> None:
            try:
                with scene.admin() as conn:
                    conn.execute("SET lock_timeout = '5s'")
                    conn.execute(text)  # type: ignore[call-overload]
            except psycopg.Error as error:
                _judge(scene, error, text)

        scene.keeps_waiting(rewrite)

    return work


def _alter(scene: Scene, fault: Fault, run: Run, r: random.Random) -> None:
    def add() -> None:
        with suppress(psycopg.Error), scene.admin() as conn:
            conn.execute("SET lock_timeout = '8s'")
            conn.execute(f"ALTER TABLE {scene.shape.name} ADD COLUMN added_later integer")  # type: ignore[call-overload]
            scene.altered = True

    scene.keeps_waiting(add)


def _second(scene: Scene, fault: Fault, run: Run, r: random.Random) -> None:
    scene.again(run.arguments)


def _pause(scene: Scene, fault: Fault, run: Run, r: random.Random) -> None:
    scene.control("pause")
    time.sleep(fault.seconds)
    scene.control("resume")


def _truncate(scene: Scene, fault: Fault, run: Run, r: random.Random) -> None:
    scene.truncate(r.choice((0, 0, 5)))


def _full_disk(scene: Scene, fault: Fault, run: Run, r: random.Random) -> None:
    scene.fill_disk(fault.seconds)


AT_ONCE: dict[str, Callable[[Scene, Fault, Run, Link], None]] = {
    "kill": _kill,
    "term": _term,
    "drop": _drop,
    "drop all": _drop_all,
    "hang": _hang,
    "terminate": _session("pg_terminate_backend"),
    "cancel": _session("pg_cancel_backend"),
    "restart": _restart,
}
ASIDE: dict[str, Callable[[Scene, Fault, Run, random.Random], None]] = {
    "lock": _lock,
    "deadlock": _deadlock,
    "snapshot": _snapshot,
    "vacuum full": _maintain("VACUUM FULL {table}"),
    "cluster": _maintain("CLUSTER {table}"),
    "reindex": _maintain("REINDEX TABLE {table}"),
    "second": _second,
    "pause": _pause,
    "truncate": _truncate,
    "full disk": _full_disk,
    "alter": _alter,
}


def aside(work: Callable[[], None]) -> threading.Thread:
    """A thread that has begun."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
