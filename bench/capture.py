"""What the capture of writes costs the writers: the same statements on the table that is captured and on its twin that is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .contenders import ferry
from .place import Connection, Place
from .result import Figure, Ratio, ratios_of
from .tables import CHUNK, SOURCE, add_indexes, make_source

TWIN = "twin_stats"
SINGLE_STATEMENTS = 2_000
BULK_ROWS = 10_000
BULK_STATEMENTS = 10
WITH, WITHOUT = "with capture", "without"
COLUMNS = "player_id, game_id, stat_type, value, game_date"
BULK = (
    "INSERT INTO public.{table} (" + COLUMNS + ") SELECT i % 5000, i, 'goals', 1.5, "
    "timestamptz '2020-01-01' + i * interval '1 minute' FROM generate_series(1, {rows}) AS i"
)
AIMS = {"one row": 1.05, "rows in a statement": 1.25, "COPY": 1.25}


def _single_inserts(conn: Connection, table: str, rows: int) -> None:
    for i in range(SINGLE_STATEMENTS):
        conn.execute(
            f"INSERT INTO public.{table} ({COLUMNS}) "
            "VALUES (%s, %s, 'goals', 1.5, timestamptz '2020-01-01' + %s * interval '1 minute')",
            [i % 5000, i, i * 7],
            prepare=True,
        )


def _single_updates(conn: Connection, table: str, rows: int) -> None:
    for i in range(SINGLE_STATEMENTS):
        conn.execute(f"UPDATE public.{table} SET value = value + 1 WHERE id = %s", [1 + i * 7919 % rows], prepare=True)


def _bulk_inserts(conn: Connection, table: str, rows: int) -> None:
    for _ in range(BULK_STATEMENTS):
        conn.execute(BULK.format(table=table, rows=BULK_ROWS))


def _bulk_updates(conn: Connection, table: str, rows: int) -> None:
    for i in range(BULK_STATEMENTS):
        low = 1 + i * BULK_ROWS % max(1, rows - BULK_ROWS)
        conn.execute(f"UPDATE public.{table} SET value = value + 1 WHERE id >= {low} AND id < {low + BULK_ROWS}")


def _copy(conn: Connection, table: str, rows: int) -> None:
    line = "1\t1\tgoals\t1.5\t2020-03-01 {:02d}:{:02d}:00+00\n"
    block = "".join(line.format(i // 60 % 24, i % 60) for i in range(10_000))
    with conn.cursor() as cursor, cursor.copy(f"COPY public.{table} ({COLUMNS}) FROM STDIN") as sink:
        for _ in range(rows // 10_000):
            sink.write(block)


WORK: dict[str, Callable[[Connection, str, int], None]] = {
    f"{SINGLE_STATEMENTS:,} INSERTs of one row": _single_inserts,
    f"{SINGLE_STATEMENTS:,} UPDATEs of one row": _single_updates,
    f"{BULK_STATEMENTS} INSERTs, {BULK_ROWS:,} rows in a statement": _bulk_inserts,
    f"{BULK_STATEMENTS} UPDATEs, {BULK_ROWS:,} rows in a statement": _bulk_updates,
    "COPY of as many rows as there are": _copy,
}


@contextmanager
def captured(place: Place, rows: int) -> Iterator[Connection]:
    """A source of so many rows with a rollout of it in sync."""
    with place.connect() as conn:
        make_source(conn, shape="narrow", indexes=3, rows=rows)
        ferry(place, "start", f"public.{SOURCE}", "--time", "game_date", "--chunk-interval", CHUNK)
        try:
            yield conn
        finally:
            ferry(place, "abort", f"public.{SOURCE}")


def measure(place: Place, rows: int, rounds: int, say: Callable[[str], None]) -> tuple[list[Figure], list[Ratio]]:
    """Every kind of statement, on the one and on the other in turn."""
    totals: dict[tuple[str, str], list[float]] = {}
    with captured(place, rows) as conn:
        conn.execute(f"DROP TABLE IF EXISTS public.{TWIN}")
        conn.execute(f"CREATE TABLE public.{TWIN} (LIKE public.{SOURCE} INCLUDING DEFAULTS INCLUDING IDENTITY)")
        conn.execute(f"INSERT INTO public.{TWIN} OVERRIDING SYSTEM VALUE SELECT * FROM public.{SOURCE}")
        conn.execute(f"SELECT setval(pg_get_serial_sequence('public.{TWIN}', 'id'), {rows})")
        conn.execute(f"ALTER TABLE public.{TWIN} ADD PRIMARY KEY (id)")
        add_indexes(conn, TWIN, 3)
        conn.execute(f"VACUUM (ANALYZE) public.{TWIN}")
        for number in range(rounds):
            for what, work in WORK.items():
                pair = [(SOURCE, WITH), (TWIN, WITHOUT)]
                for table, who in pair if number % 2 else pair[::-1]:
                    conn.execute("CHECKPOINT")
                    started = time.perf_counter()
                    work(conn, table, rows)
                    totals.setdefault((what, who), []).append(round(time.perf_counter() - started, 4))
                ferry(place, "sync", f"public.{SOURCE}", "--until-empty")
                say(f"  round {number + 1}: {what}: {totals[what, WITH][-1]:.2f} s, without {totals[what, WITHOUT][-1]:.2f} s")
        conn.execute(f"DROP TABLE public.{TWIN}")
    where = f"PG {place.postgres} / TS {place.timescaledb}, {rows:,} rows, 3 indexes"
    figures = [Figure(f"{where}: {what}", who, "s", tuple(values)) for (what, who), values in totals.items()]
    ratios = [
        Ratio(r.case, r.who, r.over, r.values, next((aim for word, aim in AIMS.items() if word in r.case), None))
        for r in ratios_of(figures, WITH, WITHOUT)
    ]
    return figures, ratios
