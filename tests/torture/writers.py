"""The application's side: threads that write, and each of which knows what its own rows must come to.

A writer owns the rows with its tag. At the start of a transaction it compares how many they are, and the sum of their hashes,
under the table's public name with what they were at the end of its last committed transaction. Where a connection was lost
during a commit, the server is asked what became of the transaction.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from typing import Protocol

import psycopg

from .operations import ASK, COPY, FAILS, Hand
from .schedule import Writer
from .tables import PARENT, Connection, Shape, ident

Digest = tuple[int, Decimal]

BLOCKED_SECONDS = 15.0
"""A statement that takes longer was blocked: what the program may take (a swap's five seconds, a vanished client's three) and room
for a slow machine."""
ODD = (
    "SET datestyle = 'German, DMY'; SET timezone = '<+0530>-05:30'; SET intervalstyle = 'sql_standard'; SET extra_float_digits = -8; "
    "SET bytea_output = 'escape'; SET enable_seqscan = off"
)


class Stage(Protocol):
    """What writers ask of whoever conducts the run."""

    shape: Shape
    served: bool
    swapping: bool
    stopping: threading.Event

    def pace(self) -> float:
        """By how much writers are to be slower than they would."""

    def connect_writer(self, tag: int) -> Connection:
        """A session of the application's role."""

    def found(self, text: str) -> None:
        """Something that must not be."""

    def excused(self, since: float, until: float) -> float:
        """For how long of that time the harness itself kept writers waiting."""

    def may_fail(self, error: psycopg.Error, when: float, *, snapshot: bool) -> bool:
        """Whether the error is of the harness's or the writers' own making."""


class Working:
    """One writer. `at_work` is held during each transaction: who holds it knows that none is under way."""

    def __init__(self, tag: int, spec: Writer, stage: Stage, seed: str) -> None:
        self.tag, self.spec, self.stage = tag, spec, stage
        self.hand = Hand(stage.shape, tag, random.Random(f"{seed} {tag}"))
        self.random = random.Random(f"{seed} {tag} choices")
        self.at_work = threading.Lock()
        self.known: Digest | None = None
        self.done: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.longest = 0.0
        self.number = 0
        self.prepared = False
        self.most = 150 + stage.shape.table.rows // 2
        self._conn: Connection | None = None
        self.thread = threading.Thread(target=self._live, name=f"writer {tag}", daemon=True)

    def _live(self) -> None:
        try:
            while not self.stage.stopping.is_set():
                with self.at_work:
                    self.transaction()
                time.sleep(self.spec.pause_ms / 1000 * self.stage.pace())
        except BaseException as error:
            if not self.stage.stopping.is_set():
                self.stage.found(f"writer {self.tag} ended: {type(error).__name__}: {error}")
        finally:
            if self._conn is not None:
                self._conn.close()

    # One transaction.

    def transaction(self) -> None:
        """One attempt, whatever comes of it."""
        spec, r = self.spec, self.random
        isolation = "READ COMMITTED" if self.stage.swapping else spec.isolation
        self.hand.served, self.hand.swapping = self.stage.served, self.stage.swapping
        plan = [r.choice(spec.mix) for _ in range(r.randrange(1, spec.statements + 1))]
        if self.known is not None and self.known[0] > self.most:
            plan.append("delete_many")
        ending = "rollback" if r.random() < spec.rollbacks else "prepare" if r.random() < spec.two_phase else "commit"
        gid = last = ""
        after: Digest | None = None
        ending_begun = False
        try:
            last = "BEGIN"
            self._run(f"BEGIN ISOLATION LEVEL {isolation}")
            self.number += 1
            self._run(f"UPDATE torture.mark SET n = {self.number} WHERE tag = {self.tag}")
            last = "digest"
            before = self.look()
            if self.known is not None and before != self.known:
                self.stage.found(f"writer {self.tag} ({isolation}): its rows came to {_told(self.known)}, and are {_told(before)} now")
                self.known = before
            for operation in plan:
                last = operation
                steps, answer = self.hand.draw(operation), None
                with suppress(StopIteration):
                    while True:
                        statement = steps.send(answer)
                        last = f"{operation}: {statement}"
                        answer = self._step(statement)
                if spec.long_ms:
                    time.sleep(spec.long_ms / 1000)
            if self.stage.shape.table.parent and r.random() < 0.2:
                last = "parent"
                self._run(f"UPDATE torture.parent SET n = n + 1 WHERE id = {r.randrange(1, 6)}")
            last = "digest after"
            after = self.look()
            if ending == "prepare":
                gid = f"torture {self._connection().info.dbname} {self.tag} {self.number}"
                last, ending_begun = "PREPARE", True
                self._run(f"PREPARE TRANSACTION '{gid}'")
                self.prepared = True
                if spec.long_ms:
                    time.sleep(spec.long_ms / 2000)
                ending = r.choice(("COMMIT PREPARED", "COMMIT PREPARED", "ROLLBACK PREPARED"))
                last = ending
                self._run(f"{ending} '{gid}'")
                ending = "commit" if ending.startswith("COMMIT") else "rollback"
            else:
                last, ending_begun = ending, True
                self._run(ending.upper())
        except psycopg.Error as error:
            self._failed(error, isolation, last)
            committed = self._outcome(gid) if ending_begun else False
            self.known = after if committed else self.known
            return
        if ending == "commit":
            self.known = after
            self.done.update(plan)
        elif self.known is None:
            self.known = before

    def look(self) -> Digest:
        """What the writer's rows come to, as this transaction sees them."""
        t = self.stage.shape.table
        row = self._one(f"SELECT rows, hash FROM torture.digest({self.tag}::smallint)")
        if t.view and self.random.random() < 0.3:
            view = ident(t.schema, "view of it")
            seen = self._one(f"SELECT COALESCE(sum(n), 0) FROM {view} WHERE tag = {self.tag}")[0]
            if seen != row[0]:
                # In READ COMMITTED too: nobody else writes these rows.
                self.stage.found(f"writer {self.tag}: the view shows {seen} of its {row[0]} rows")
        return int(row[0]), Decimal(str(row[1]))

    def _step(self, statement: str) -> tuple[object, ...] | None:
        if statement.startswith(ASK):
            return self._one(statement)
        if statement.startswith(COPY):
            head, _, lines = statement.partition("\n")
            started = time.monotonic()
            with self._connection().cursor() as cursor, cursor.copy(head) as sink:  # type: ignore[arg-type]
                sink.write(lines + "\n")
            self._timed(started, head)
        elif statement.startswith(FAILS):
            try:
                self._run(statement)
            except psycopg.Error as error:
                if (error.sqlstate or "") not in ("23505", "22012"):
                    raise
                self._run("ROLLBACK TO SAVEPOINT a")
            else:
                self.stage.found(f"writer {self.tag}: not refused: {statement[:300]}")
        else:
            self._run(statement)
        return None

    def _failed(self, error: psycopg.Error, isolation: str, last: str) -> None:
        now = time.monotonic()
        self.errors[error.sqlstate or "lost"] += 1
        if self.prepared and self.stage.served and error.sqlstate == "XX000" and "could not open relation" in str(error):
            # TimescaleDB 2.19: a session that prepared a transaction which made a chunk remembers the chunk, rolled back or not.
            if self._conn is not None:
                self._conn.close()
        elif not self.stage.may_fail(error, now, snapshot=isolation != "READ COMMITTED"):
            detail = error.diag.message_detail or ""
            self.stage.found(f"writer {self.tag} got {error.sqlstate} {str(error).strip()[:400]} {detail[:200]} from {last[:600]}")
        conn = self._conn
        if conn is not None:
            with suppress(psycopg.Error):
                conn.execute("ROLLBACK")
            if conn.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                conn.close()
        if conn is None or conn.closed:
            self._conn = None

    def _outcome(self, gid: str) -> bool:
        """Whether the transaction whose end was not seen was committed: its mark tells. One that was prepared is ended now.

        (pg_xact_status cannot be asked: a crash may lose a transaction as a whole, and its number is given out again.)
        """
        while not self.stage.stopping.is_set():
            try:
                if gid and self._one(f"SELECT count(*) FROM pg_prepared_xacts WHERE gid = '{gid}'")[0]:
                    self._run(f"COMMIT PREPARED '{gid}'")
                    return True
                # While it is under way its row is locked, and no row comes.
                row = self._connection().execute(f"SELECT n FROM torture.mark WHERE tag = {self.tag} FOR UPDATE SKIP LOCKED").fetchone()
                if row is not None:
                    return int(row[0]) == self.number
            except psycopg.Error:
                self._conn = None
            time.sleep(0.05)
        return False

    # The session.

    def _connection(self) -> Connection:
        if self._conn is None or self._conn.closed:
            self._conn, self.prepared = self.stage.connect_writer(self.tag), False
            if self.spec.settings:
                self._conn.execute(ODD)
        return self._conn

    def _run(self, statement: str) -> None:
        started = time.monotonic()
        self._connection().execute(statement)  # type: ignore[call-overload]
        self._timed(started, statement)

    def _one(self, query: str) -> tuple[object, ...]:
        started = time.monotonic()
        row = self._connection().execute(query).fetchone()  # type: ignore[call-overload]
        self._timed(started, query)
        assert row is not None
        return tuple(row)

    def _timed(self, started: float, statement: str) -> None:
        now = time.monotonic()
        seconds = now - started - self.stage.excused(started, now)
        self.longest = max(self.longest, seconds)
        if seconds > BLOCKED_SECONDS:
            self.stage.found(f"writer {self.tag} was blocked for {seconds:.1f} s by {statement[:200]}")


def _told(digest: Digest) -> str:
    return f"{digest[0]} rows (hash {digest[1]})"


def pids_in(detail: str) -> set[int]:
    """The processes that the detail of a deadlock names."""
    return {int(number) for number in re.findall(r"[Pp]rocess (\d+)", detail)}


__all__ = ["PARENT", "Stage", "Working", "pids_in"]
