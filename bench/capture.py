"""What the capture of writes costs the writers: the same statements on the table that is captured and on its twin that is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

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


def _work(sizes: Sizes) -> dict[str, tuple[int, Work]]:
    """What is measured: slices, and what one of them does."""

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
            conn.execute(
                f"UPDATE public.{table} SET value = value + 1 WHERE id = %s",
                [1 + i * 7919 % sizes.rows],
                prepare=True,
            )

    def bulk_inserts(conn: Connection, table: str, part: int) -> None:
        conn.execute(BULK.format(table=table, rows=BULK_ROWS))

    def bulk_updates(conn: Connection, table: str, part: int) -> None:
        low = 1 + part * BULK_ROWS % max(1, sizes.rows - BULK_ROWS)
        conn.execute(
            f"UPDATE public.{table} SET value = value + 1 WHERE id >= {low} AND id < {low + BULK_ROWS}"
        )

    def copy(conn: Connection, table: str, part: int) -> None:
        line = "1\t1\tgoals\t1.5\t2020-03-01 {:02d}:{:02d}:00+00\n"
        block = "".join(line.format(i // 60 % 24, i % 60) for i in range(10_000))
        with conn.cursor() as cursor, cursor.copy(f"COPY public.{table} ({COLUMNS}) FROM STDIN") as sink:
            for _ in range(sizes.copied // 10_000):
                sink.write(block)

    slices = max(1, sizes.singles // SLICE)
    return {
        f"{slices * SLICE:,} INSERTs of one row": (slices, single_inserts),
        f"{slices * SLICE:,} UPDATEs of one row": (slices, single_updates),
        f"{sizes.bulks} INSERTs, {BULK_ROWS:,} rows in a statement": (sizes.bulks, bulk_inserts),
        f"{sizes.bulks} UPDATEs, {BULK_ROWS:,} rows in a statement": (sizes.bulks, bulk_updates),
        f"COPY of {sizes.copied // 10_000 * 10_000:,} rows": (1, copy),
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
    """Every kind of statement on the one and on the other, slice by slice in turn."""
    totals: dict[tuple[str, str], list[float]] = {}
    with captured(place, sizes.rows) as conn:
        _make_twin(conn, sizes.rows)
        _make_segments(conn, _work(sizes))
        for number in range(sizes.rounds):
            for what, (slices, work) in _work(sizes).items():
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
        conn.execute(f"DROP TABLE public.{TWIN}")
    where = f"{place.title}, {sizes.rows:,} rows, 3 indexes"
    figures = [Figure(where, who, "s", tuple(values), what) for (what, who), values in totals.items()]
    ratios = [
        replace(ratio, aim=next((aim for word, aim in AIMS.items() if word in ratio.what), None))
        for ratio in ratios_of(figures, WITH, WITHOUT)
    ]
    return Measured(tuple(figures), tuple(ratios))


def _make_segments(conn: Connection, work: dict[str, tuple[int, Work]]) -> None:
    """Of WAL, as many as the largest of the work takes on both tables: whoever makes one waits for it."""
    *_, (slices, largest) = work.values()
    for part in range(slices):
        for table in (SOURCE, TWIN):
            largest(conn, table, part)


def _make_twin(conn: Connection, rows: int) -> None:
    """The same table, without capture."""
    conn.execute(f"DROP TABLE IF EXISTS public.{TWIN}")
    conn.execute(f"CREATE TABLE public.{TWIN} (LIKE public.{SOURCE} INCLUDING DEFAULTS INCLUDING IDENTITY)")
    conn.execute(f"INSERT INTO public.{TWIN} OVERRIDING SYSTEM VALUE SELECT * FROM public.{SOURCE}")
    conn.execute(f"SELECT setval(pg_get_serial_sequence('public.{TWIN}', 'id'), {rows})")
    conn.execute(f"ALTER TABLE public.{TWIN} ADD PRIMARY KEY (id)")
    add_indexes(conn, TWIN, 3)
    conn.execute(f"VACUUM (ANALYZE) public.{TWIN}")
