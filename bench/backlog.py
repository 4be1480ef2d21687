"""How fast changes are applied: a backlog made beforehand, alone and while writers refill it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from hyperferry import engine

from .capture import captured
from .contenders import ferry, rows_written, writers
from .place import Connection, Place
from .result import Curve, Figure, Measured, joined
from .tables import SOURCE

TABLE = f"public.{SOURCE}"
AIM_PER_SECOND = 50_000
LOOK_SECONDS = 1.0
Points = tuple[tuple[float, float], ...]
UPDATES = "updates, every third row"
MAKERS = {
    UPDATES: "UPDATE public.{t} SET value = value + 1 WHERE id % 3 = 0",
    "updates of the newest rows": "UPDATE public.{t} SET value = value + 1 WHERE id > {rows} - {rows} / 3 AND id <= {rows}",
    "inserts into the last chunks": "INSERT INTO public.{t} (player_id, game_id, stat_type, value, game_date) "
    "SELECT i % 5000, i, 'goals', 1, timestamptz '2023-02-01' + i * interval '10 s' FROM generate_series(1, {rows} / 3) AS i",
    "inserts of one moment": "INSERT INTO public.{t} (player_id, game_id, stat_type, value, game_date) "
    "SELECT i % 5000, i, 'goals', 1, timestamptz '2023-06-01' FROM generate_series(1, {rows} / 3) AS i",
    "deletes, every ninth row": "DELETE FROM public.{t} WHERE id % 9 = 1 + {round} % 9",
}


@dataclass(frozen=True)
class Sizes:
    """Rows of the table, a third of which is the backlog; rounds; writes a second that refill it; seconds after which it is not
    waited for any longer."""

    rows: int
    rounds: int
    rates: Sequence[int]
    patience: float = 120.0


@dataclass(frozen=True)
class Refilled:
    """One backlog that writers refilled: seconds until it was empty (None: it was not in time), the writes a second that they
    came to, and the backlog meanwhile."""

    seconds: float | None
    achieved: float
    points: Points


def measure(place: Place, sizes: Sizes, say: Callable[[str], None]) -> Measured:
    """Changes a second, for each kind of backlog; the seconds to empty one that is refilled, and the backlog meanwhile."""
    speeds: dict[str, list[float]] = {}
    refilled: dict[int, list[Refilled]] = {}
    with captured(place, sizes.rows) as conn:
        for number in range(sizes.rounds):
            for what in MAKERS:
                changes = _change(conn, what, sizes, number)
                took = _empty(place, conn)
                speeds.setdefault(what, []).append(round(changes / took))
                say(f"  round {number + 1}: {what}: {changes:,} changes, {changes / took:,.0f} a second")
            for rate in sizes.rates:
                found = _refilled(place, conn, sizes, number, rate)
                refilled.setdefault(rate, []).append(found)
                say(f"  round {number + 1}: under {rate:,} writes/s: empty after {found.seconds} s")
    where = f"{place.title}, {sizes.rows:,} rows, 3 indexes"
    speed = tuple(
        Figure(f"{where}: apply", what, "changes/s", tuple(values), better="more", aim=AIM_PER_SECOND)
        for what, values in speeds.items()
    )
    emptied = evaluate(f"{where}: {sizes.rows // 3:,} updates, refilled meanwhile", refilled, sizes.patience)
    return joined([Measured(speed), emptied])


def evaluate(case: str, refilled: Mapping[int, Sequence[Refilled]], patience: float) -> Measured:
    """Figures of the rates at which it became empty each time, the others as missing; the first round's curves."""
    figures: list[Figure] = []
    missing: list[str] = []
    for rate, rounds in refilled.items():
        who = f"{rate:,} writes/s"
        seconds = [one.seconds for one in rounds if one.seconds is not None]
        if len(seconds) == len(rounds):
            figures.append(Figure(case, who, "s", tuple(seconds), "until empty", "less"))
        else:
            left = max(one.points[-1][1] for one in rounds if one.seconds is None)
            missing.append(f"{case}: under {who} not empty after {patience:.0f} s, {left:,.0f} changes left")
        figures.append(Figure(case, who, "writes/s", tuple(one.achieved for one in rounds), "achieved"))
    curves = (
        Curve(case, f"{rate:,} writes/s", "changes", rounds[0].points) for rate, rounds in refilled.items()
    )
    return Measured(tuple(figures), curves=tuple(curves), missing=tuple(missing))


def _refilled(place: Place, conn: Connection, sizes: Sizes, number: int, rate: int) -> Refilled:
    """Empties a backlog while writers refill it, and after that what they left."""
    _change(conn, UPDATES, sizes, number)
    conn.execute("CHECKPOINT")
    began, wrote = time.perf_counter(), rows_written(conn)
    took: float | None = None
    with writers(place, sizes.rows, rate=rate), _looking(place) as points:
        started = time.perf_counter()
        with suppress(subprocess.TimeoutExpired):
            ferry(place, "sync", TABLE, "--until-empty", seconds=sizes.patience)
            took = round(time.perf_counter() - started, 2)
    seconds = time.perf_counter() - began
    time.sleep(1.5)  # what sessions counted becomes known when they have ended
    reached = round((rows_written(conn) - wrote) / seconds)
    _empty(place)
    return Refilled(took, reached, tuple(points))


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
