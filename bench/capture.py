"""What the capture of writes costs the writers: the same statements on the table that is captured and on its twin that is not;
before the cutover, where capture is by statement, and after it, where it is by row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

from .contenders import ferry
from .place import Connection, Place, keep_segments
from .result import Figure, Measured, ratios_of
from .tables import CHUNK, SOURCE, add_indexes, make_source

TWIN = "twin_stats"
SLICE = 50
"""Statements of one row, before it is the other table's turn."""
BULK_ROWS = 10_000
WITH, WITHOUT = "with capture", "without"
COLUMNS = "player_id, game_id, stat_type, value, game_date"
BULK = (
    "INSERT INTO public.{table} (" + COLUMNS + ") SELECT i % 5000, i, 'goals', 1.5, "
    "timestamptz '2020-01-01' + i * interval '1 minute' FROM generate_series(1, {rows}) AS i"
)
AIMS = {"one row": 1.05, "rows in a statement": 1.25, "COPY": 1.25}
BY_ROW = ", by row on the hypertable"
"""In the name of what is measured; without an aim."""
STEP = 7919


Work = Callable[[Connection, str, int], None]
"""One slice of the work on one table; the number is the slice's."""


@dataclass(frozen=True)
class Sizes:
    """Rows of the table; rows of the COPY; statements of one row, in slices; bulk statements; rounds."""

    rows: int
    copied: int
    singles: int
    bulks: int
    rounds: int


def _work(sizes: Sizes, times: Mapping[int, datetime] | None = None) -> dict[str, tuple[int, Work]]:
    """What is measured: slices, and what one of them does. `times` of rows by their ids: an UPDATE names the time too then, as an
    application of a hypertable does."""

    def single_inserts(conn: Connection, table: str, part: int) -> None:
        for i in range(part * SLICE, (part + 1) * SLICE):
            conn.execute(
                f"INSERT INTO public.{table} ({COLUMNS}) "
                "VALUES (%s, %s, 'goals', 1.5, timestamptz '2020-01-01' + %s * interval '1 minute')",
                [i % 5000, i, i * 7],
                prepare=True,
            )

    def single_updates(conn: Connection, table: str, part: int) -> None:
        for i in range(part * SLICE, (part + 1) * SLICE):
            key = 1 + i * STEP % sizes.rows
            if times is None:
                conn.execute(f"UPDATE public.{table} SET value = value + 1 WHERE id = %s", [key], prepare=True)
            else:
                conn.execute(
                    f"UPDATE public.{table} SET value = value + 1 WHERE id = %s AND game_date = %s",
                    [key, times[key]],
                    prepare=True,
                )

    def bulk_inserts(conn: Connection, table: str, part: int) -> None:
        conn.execute(BULK.format(table=table, rows=BULK_ROWS))

    def bulk_updates(conn: Connection, table: str, part: int) -> None:
        low = 1 + part * BULK_ROWS % max(1, sizes.rows - BULK_ROWS)
        # The rows come in the order of their times but for some hours (tables.sql).
        near = "" if times is None else (
            f" AND game_date >= '{times[low]}'::timestamptz - interval '1 day' "
            f"AND game_date < '{times[min(low + BULK_ROWS, sizes.rows)]}'::timestamptz + interval '1 day'"
        )
        conn.execute(
            f"UPDATE public.{table} SET value = value + 1 WHERE id >= {low} AND id < {low + BULK_ROWS}{near}"
        )

    def copy(conn: Connection, table: str, part: int) -> None:
        line = "1\t1\tgoals\t1.5\t2020-03-01 {:02d}:{:02d}:00+00\n"
        block = "".join(line.format(i // 60 % 24, i % 60) for i in range(10_000))
        with conn.cursor() as cursor, cursor.copy(f"COPY public.{table} ({COLUMNS}) FROM STDIN") as sink:
            for _ in range(sizes.copied // 10_000):
                sink.write(block)

    slices = max(1, sizes.singles // SLICE)
    aside = "" if times is None else BY_ROW
    return {
        f"{slices * SLICE:,} INSERTs of one row{aside}": (slices, single_inserts),
        f"{slices * SLICE:,} UPDATEs of one row{aside}": (slices, single_updates),
        f"{sizes.bulks} INSERTs, {BULK_ROWS:,} rows in a statement{aside}": (sizes.bulks, bulk_inserts),
        f"{sizes.bulks} UPDATEs, {BULK_ROWS:,} rows in a statement{aside}": (sizes.bulks, bulk_updates),
        f"COPY of {sizes.copied // 10_000 * 10_000:,} rows{aside}": (1, copy),
    }


@contextmanager
def captured(place: Place, rows: int) -> Iterator[Connection]:
    """A source of so many rows with a rollout of it in sync."""
    with place.connect() as conn:
        keep_segments(conn)
        make_source(conn, shape="narrow", indexes=3, rows=rows)
        ferry(place, "start", f"public.{SOURCE}", "--time", "game_date", "--chunk-interval", CHUNK)
        try:
            yield conn
        finally:
            ferry(place, "abort", f"public.{SOURCE}")


def measure(place: Place, sizes: Sizes, say: Callable[[str], None]) -> Measured:
    """Every kind of statement on the one and on the other, slice by slice in turn; then, after a cutover, on the hypertable that
    is captured for the way back and on one that is not."""
    totals: dict[tuple[str, str], list[float]] = {}
    with captured(place, sizes.rows) as conn:
        times = _times(conn, sizes)
        _make_twin(conn, sizes.rows)
        _make_segments(conn, _work(sizes))
        _rounds(place, conn, sizes.rounds, _work(sizes), totals, say)
        _make_twin(conn, sizes.rows, hypertable=True)
        ferry(place, "cutover", f"public.{SOURCE}", "--accept", "all")
        try:
            _rounds(place, conn, sizes.rounds, _work(sizes, times), totals, say)
        finally:
            ferry(place, "rollback", f"public.{SOURCE}")
        conn.execute(f"DROP TABLE public.{TWIN}")
    where = f"{place.title}, {sizes.rows:,} rows, 3 indexes"
    figures = [Figure(where, who, "s", tuple(values), what) for (what, who), values in totals.items()]
    ratios = [
        replace(
            ratio,
            aim=next((aim for word, aim in AIMS.items() if word in ratio.what and BY_ROW not in ratio.what), None),
        )
        for ratio in ratios_of(figures, WITH, WITHOUT)
    ]
    return Measured(tuple(figures), tuple(ratios))


def _rounds(
    place: Place,
    conn: Connection,
    rounds: int,
    works: Mapping[str, tuple[int, Work]],
    totals: dict[tuple[str, str], list[float]],
    say: Callable[[str], None],
) -> None:
    """Adds to `totals` the seconds of each kind of work on either table."""
    for number in range(rounds):
        for what, (slices, work) in works.items():
            seconds = {WITH: 0.0, WITHOUT: 0.0}
            conn.execute("CHECKPOINT")
            for part in range(slices):
                pair = [(SOURCE, WITH), (TWIN, WITHOUT)]
                for table, who in pair if (number + part) % 2 else pair[::-1]:
                    started = time.perf_counter()
                    work(conn, table, part)
                    seconds[who] += time.perf_counter() - started
            for who, took in seconds.items():
                totals.setdefault((what, who), []).append(round(took, 4))
            ferry(place, "sync", f"public.{SOURCE}", "--until-empty")
            say(f"  round {number + 1}: {what}: {seconds[WITH]:.2f} s, without {seconds[WITHOUT]:.2f} s")


def _times(conn: Connection, sizes: Sizes) -> dict[int, datetime]:
    """The times of the rows that are updated, or that a range of updated ones begins or ends with."""
    slices = max(1, sizes.singles // SLICE)
    ids = {1 + i * STEP % sizes.rows for i in range(slices * SLICE)}
    for part in range(sizes.bulks):
        low = 1 + part * BULK_ROWS % max(1, sizes.rows - BULK_ROWS)
        ids |= {low, min(low + BULK_ROWS, sizes.rows)}
    rows = conn.execute(f"SELECT id, game_date FROM public.{SOURCE} WHERE id = ANY(%s)", [sorted(ids)]).fetchall()
    return dict(cast("list[tuple[int, datetime]]", rows))


def _make_segments(conn: Connection, work: dict[str, tuple[int, Work]]) -> None:
    """Of WAL, as many as the largest of the work takes on both tables: whoever makes one waits for it."""
    *_, (slices, largest) = work.values()
    for part in range(slices):
        for table in (SOURCE, TWIN):
            largest(conn, table, part)


def _make_twin(conn: Connection, rows: int, *, hypertable: bool = False) -> None:
    """The same table, without capture; or the hypertable that it is converted to."""
    conn.execute(f"DROP TABLE IF EXISTS public.{TWIN}")
    conn.execute(f"CREATE TABLE public.{TWIN} (LIKE public.{SOURCE} INCLUDING DEFAULTS INCLUDING IDENTITY)")
    if hypertable:
        conn.execute(
            "SELECT create_hypertable(%s::regclass, 'game_date', chunk_time_interval => %s::interval, "
            "create_default_indexes => false)",
            [f"public.{TWIN}", CHUNK],
        )
    conn.execute(f"INSERT INTO public.{TWIN} OVERRIDING SYSTEM VALUE SELECT * FROM public.{SOURCE}")
    conn.execute(f"SELECT setval(pg_get_serial_sequence('public.{TWIN}', 'id'), {rows})")
    conn.execute(f"ALTER TABLE public.{TWIN} ADD PRIMARY KEY (id{', game_date' if hypertable else ''})")
    add_indexes(conn, TWIN, 3)
    conn.execute(f"VACUUM (ANALYZE) public.{TWIN}")
