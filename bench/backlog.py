"""How fast changes are applied: a backlog made beforehand, alone and while writers refill it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from hyperferry import engine

from .capture import captured
from .contenders import ferry, writers
from .place import Connection, Place
from .result import Curve, Figure, Measured
from .tables import SOURCE

TABLE = f"public.{SOURCE}"
AIM_PER_SECOND = 50_000
LOOK_SECONDS = 0.5
UPDATES = "updates, every third row"
MAKERS = {
    UPDATES: "UPDATE public.{t} SET value = value + 1 WHERE id % 3 = 0",
    "updates of the newest rows": "UPDATE public.{t} SET value = value + 1 WHERE id > {rows} - {rows} / 3 AND id <= {rows}",
    "inserts into the last chunks": "INSERT INTO public.{t} (player_id, game_id, stat_type, value, game_date) "
    "SELECT i % 5000, i, 'goals', 1, timestamptz '2023-02-01' + i * interval '10 s' FROM generate_series(1, {rows} / 3) AS i",
    "deletes, every ninth row": "DELETE FROM public.{t} WHERE id % 9 = 1 + {round} % 9",
}


@dataclass(frozen=True)
class Sizes:
    """Rows of the table, a third of which is the backlog; rounds; writes a second that refill it."""

    rows: int
    rounds: int
    rates: Sequence[int]


def measure(place: Place, sizes: Sizes, say: Callable[[str], None]) -> Measured:
    """Changes a second, for each kind of backlog; the seconds to empty one that is refilled, and the backlog meanwhile."""
    speeds: dict[str, list[float]] = {}
    emptied: dict[int, list[float]] = {}
    achieved: dict[int, list[float]] = {}
    curves: dict[int, tuple[tuple[float, float], ...]] = {}
    where = f"{place.title}, {sizes.rows:,} rows, 3 indexes"
    with captured(place, sizes.rows) as conn:
        for number in range(sizes.rounds):
            for what in MAKERS:
                changes = _change(conn, what, sizes, number)
                took = _empty(place, conn)
                speeds.setdefault(what, []).append(round(changes / took))
                say(
                    f"  round {number + 1}: {what}: {changes:,} changes in {took:.2f} s, {changes / took:,.0f} a second"
                )
            for rate in sizes.rates:
                _change(conn, UPDATES, sizes, number)
                conn.execute("CHECKPOINT")
                began, wrote = time.perf_counter(), _written(conn)
                with writers(place, sizes.rows, rate=rate), _looking(place) as points:
                    took = _empty(place)
                took_in_all = time.perf_counter() - began
                conn.execute("SELECT pg_stat_clear_snapshot()")
                time.sleep(1.5)  # what sessions counted becomes known when they have ended
                achieved.setdefault(rate, []).append(round((_written(conn) - wrote) / took_in_all))
                emptied.setdefault(rate, []).append(round(took, 2))
                curves.setdefault(rate, tuple(points))
                _empty(place)
                say(
                    f"  round {number + 1}: {sizes.rows // 3:,} changes under {rate:,} writes/s: empty after {took:.1f} s"
                )
    figures = [
        Figure(f"{where}: apply", what, "changes/s", tuple(values), better="more", aim=AIM_PER_SECOND)
        for what, values in speeds.items()
    ]
    refilled = f"{where}: {sizes.rows // 3:,} updates, refilled meanwhile"
    for rate, values in emptied.items():
        who = f"{rate:,} writes/s"
        figures.append(Figure(refilled, who, "s", tuple(values), "until empty", "less"))
        figures.append(Figure(refilled, who, "writes/s", tuple(achieved[rate]), "achieved"))
    return Measured(
        tuple(figures),
        curves=tuple(
            Curve(refilled, f"{rate:,} writes/s", "changes", points) for rate, points in curves.items()
        ),
    )


def _change(conn: Connection, what: str, sizes: Sizes, number: int) -> int:
    """Makes a backlog; returns how many rows were changed."""
    return conn.execute(MAKERS[what].format(t=SOURCE, rows=sizes.rows, round=number)).rowcount


def _empty(place: Place, conn: Connection | None = None) -> float:
    """Seconds until the backlog was empty once."""
    if conn is not None:
        conn.execute("CHECKPOINT")
    started = time.perf_counter()
    ferry(place, "sync", TABLE, "--until-empty")
    return time.perf_counter() - started


def _written(conn: Connection) -> int:
    """Rows that were inserted into the table and updated in it so far, as far as sessions told."""
    row = conn.execute(
        "SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE relid = %s::regclass", [TABLE]
    ).fetchone()
    return int(str(row[0])) if row else 0


@contextmanager
def _looking(place: Place) -> Iterator[list[tuple[float, float]]]:
    """Asks for the backlog all the time beside the block: (seconds, changes)."""
    points: list[tuple[float, float]] = []
    done = threading.Event()
    began = time.perf_counter()

    def look() -> None:
        while not done.is_set():
            backlog = float(engine.status(place.dsn, TABLE)[0].backlog)
            points.append((round(time.perf_counter() - began, 2), backlog))
            done.wait(LOOK_SECONDS)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield points
    finally:
        done.set()
        thread.join(30)
