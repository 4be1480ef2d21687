"""One writer of the demo, as a process of its own: it plays the application, so it uses none of hyperferry's
code.

It inserts, corrects and deletes statistics in READ COMMITTED at a steady rate, remembers what the server
acknowledged, and counts every error. It is told what to do on stdin, a word a line, and answers each with a
line of JSON: `report` (what happened since the last one), `pause` (answers with what its rows must look
like), `go`, `stop`. Each writer changes rows of its own alone, so what it remembers is what must be there.
"""

from __future__ import annotations

import json
import os
import queue
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg

DSN_VARIABLE = "HYPERFERRY_DEMO_DSN"
KINDS = ("insert", "correct", "delete", "reschedule", "correct_two", "read")
WEIGHTS = (40, 30, 12, 8, 8, 2)
PAUSE_LIMIT = 120.0


@dataclass
class Window:
    """What happened since the last report. Times in seconds."""

    operations: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    statements: int = 0
    errors: int = 0
    error_texts: list[str] = field(default_factory=list)
    worst: float = 0.0
    began: float = field(default_factory=time.monotonic)


class Writer:
    """The rows that this writer minds (`rows`: id -> value and time; None once deleted), and its work on
    them."""

    def __init__(self, dsn: str, number: int, of: int, rate: float, seed: int) -> None:
        self.dsn, self.number, self.of, self.rate = dsn, number, of, rate
        self.random = random.Random(f"{seed}/{number}")
        self.rows: dict[int, tuple[Decimal, datetime] | None] = {}
        self.live: list[int] = []
        self.window = Window()
        self.conn = self.connect()
        self.latest = self.begin()

    def connect(self) -> psycopg.Connection[Any]:
        """A session like the application's: the role's own, READ COMMITTED, each statement committed at
        once."""
        conn = psycopg.connect(self.dsn, autocommit=True)
        conn.execute("SET TimeZone TO 'UTC'")
        return conn

    def begin(self) -> datetime:
        """Learns some rows of its own share, and when the last match was."""
        found = self.conn.execute("SELECT max(id), max(game_date) FROM player_stats").fetchone()
        assert found is not None
        chosen = {self.random.randrange(1, found[0] + 1) for _ in range(3000)}
        mine = [each for each in chosen if each % self.of == self.number]
        for row in self.conn.execute(
            "SELECT id, value, game_date FROM player_stats WHERE id = ANY(%s)", [mine]
        ):
            self.rows[row[0]] = (row[1], row[2])
            self.live.append(row[0])
        latest: datetime = found[1]
        return latest

    def work(self) -> None:
        """One operation, timed; an error is counted and remembered, and the writer goes on."""
        kind = self.random.choices(KINDS, WEIGHTS)[0]
        began = time.monotonic()
        try:
            self.window.statements += getattr(self, kind)()
            self.window.operations[kind] += 1
        except psycopg.Error as error:
            self.window.errors += 1
            self.window.error_texts.append(f"{kind}: {type(error).__name__}: {error}"[:300])
            if self.conn.closed or self.conn.broken:
                self.conn = self.connect()
        self.window.worst = max(self.window.worst, time.monotonic() - began)

    def insert(self) -> int:
        """A new statistic of a match of the last weeks."""
        value = Decimal(self.random.randrange(1000)).scaleb(-self.random.randrange(3))
        when = self.latest - timedelta(hours=self.random.randrange(24 * 20))
        found = self.conn.execute(
            "INSERT INTO player_stats (player_id, game_id, stat_type, value, game_date) "
            "VALUES (%s, %s, %s, %s, %s) RETURNING id",
            [
                1000 + self.random.randrange(280),
                900_000 + self.random.randrange(10_000),
                "video",
                value,
                when,
            ],
        ).fetchone()
        assert found is not None
        self.rows[found[0]] = (value, when)
        self.live.append(found[0])
        return 1

    def correct(self) -> int:
        """Another value for a row."""
        if self.live:
            self.set_value(self.pick())
        return 1

    def correct_two(self) -> int:
        """Two rows corrected in one transaction."""
        if self.live:
            one, two = self.pick(), self.pick()
            with self.conn.transaction():
                changed = [self.write_value(one), self.write_value(two) if two != one else None]
            for each in (one, two):
                value = changed[0] if each == one else changed[1]
                if value is not None:
                    self.rows[each] = (value, self.time_of(each))
        return 2

    def reschedule(self) -> int:
        """Another minute of the same hour: the time changes, its chunk does not."""
        if self.live:
            row = self.pick()
            before = self.time_of(row)
            after = before.replace(minute=self.random.randrange(60))
            self.conn.execute(
                "UPDATE player_stats SET game_date = %s WHERE id = %s AND game_date = %s",
                [after, row, before],
            )
            self.rows[row] = (self.value_of(row), after)
        return 1

    def delete(self) -> int:
        """A row that was wrong altogether."""
        if self.live:
            row = self.live.pop(self.random.randrange(len(self.live)))
            try:
                self.conn.execute(
                    "DELETE FROM player_stats WHERE id = %s AND game_date = %s", [row, self.time_of(row)]
                )
            except psycopg.Error:
                self.live.append(row)
                raise
            self.rows[row] = None
        return 1

    def read(self) -> int:
        """What the front page shows, through the view."""
        self.conn.execute(
            "SELECT total FROM player_totals WHERE player_id = %s", [1000 + self.random.randrange(280)]
        ).fetchall()
        return 1

    def set_value(self, row: int) -> None:
        """A new value, remembered once it is committed."""
        self.rows[row] = (self.write_value(row), self.time_of(row))

    def write_value(self, row: int) -> Decimal:
        """The UPDATE of a value; gives what it wrote."""
        value = Decimal(self.random.randrange(1000)).scaleb(-self.random.randrange(3))
        self.conn.execute(
            "UPDATE player_stats SET value = %s WHERE id = %s AND game_date = %s",
            [value, row, self.time_of(row)],
        )
        return value

    def pick(self) -> int:
        """One of the rows that are there."""
        return self.random.choice(self.live)

    def value_of(self, row: int) -> Decimal:
        """The value that was last acknowledged."""
        known = self.rows[row]
        assert known is not None
        return known[0]

    def time_of(self, row: int) -> datetime:
        """The time that was last acknowledged."""
        known = self.rows[row]
        assert known is not None
        return known[1]

    def report(self) -> dict[str, Any]:
        """What happened since the last report."""
        window, self.window = self.window, Window()
        return {
            "operations": window.operations,
            "statements": window.statements,
            "errors": window.errors,
            "error_texts": window.error_texts[:5],
            "worst_ms": window.worst * 1000,
            "seconds": time.monotonic() - window.began,
        }

    def expectations(self) -> dict[str, Any]:
        """What its rows must look like: [id, value, time], or [id, null, null] for a deleted one."""
        return {
            "rows": [
                [row, None, None] if known is None else [row, str(known[0]), known[1].isoformat()]
                for row, known in self.rows.items()
            ]
        }


def serve(writer: Writer, words: queue.Queue[str]) -> None:
    """Works at the given rate, and does what it is told between two operations. Begins when it is first told to go:
    until then every writer chooses its rows, and none of them may be one that another has made since.
    """
    due = time.monotonic()
    paused = True
    while True:
        try:
            word = words.get(block=paused, timeout=PAUSE_LIMIT)
        except queue.Empty:
            word = ""
            paused = False
        if word == "stop":
            return
        if word == "pause":
            paused = True
            answer(writer.expectations())
        elif word == "go":
            paused, due = False, time.monotonic()
            answer({})
        elif word == "report":
            answer(writer.report())
        if word or paused:
            continue
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(min(wait, 0.05))
            continue
        writer.work()
        # A writer that was held up goes on at its rate; it does not make up for what it missed.
        due = max(due + 1 / writer.rate, time.monotonic() - 0.5)


def answer(value: dict[str, Any]) -> None:
    """One line of JSON on stdout."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def listen(words: queue.Queue[str]) -> None:
    """Lines of stdin into the queue; its end means stop."""
    for line in sys.stdin:
        words.put(line.strip())
    words.put("stop")


def main() -> None:
    """`python -m hyperferry.demo.writer NUMBER OF RATE SEED`, the connection in the environment."""
    # Ctrl-C reaches the whole group of processes; the demo decides when its writers stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    number, of, rate, seed = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    try:
        writer = Writer(os.environ[DSN_VARIABLE], number, of, rate, seed)
    except psycopg.Error as error:
        answer({"failed": str(error)})
        return
    answer({"ready": len(writer.live)})
    words: queue.Queue[str] = queue.Queue()
    threading.Thread(target=listen, args=[words], daemon=True).start()
    serve(writer, words)


if __name__ == "__main__":
    main()
