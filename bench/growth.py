"""Whether time, memory, WAL and disk grow with the table as they should: in proportion, and the memory not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from .account import own_account
from .contenders import ferry
from .derived import AIM_FLAT, BARE_TIME, TIME
from .footprint import disk_of, folders, watched, written
from .place import Connection, Place, keep_segments, make_segments
from .result import Figure, Measured, Ratio
from .tables import CHUNK, SOURCE, make_source

TABLE = f"public.{SOURCE}"
AIM_MB = 100.0
MILLION, MB = 1_000_000, 1_000_000
UNITS = {
    TIME: ("s per million rows", None),
    BARE_TIME: ("s per million rows", None),
    "memory of the program": ("MB", AIM_MB),
    "WAL": ("bytes a row", None),
    "disk written": ("bytes a row", None),
    "additional disk at the peak": ("times the table", None),
}


@dataclass(frozen=True)
class Sizes:
    """Numbers of rows; rounds."""

    rows: Sequence[int]
    rounds: int


def measure(place: Place, sizes: Sizes, say: Callable[[str], None]) -> Measured:
    """`hyperferry start` at each size, in turn within each round; each table has a database of its own."""
    found: dict[tuple[int, str], list[float]] = {}
    with ExitStack() as stack:
        places = {rows: stack.enter_context(place.made(f"rows_{rows}")) for rows in sizes.rows}
        with place.connect() as conn:
            keep_segments(conn)
        for rows, own in places.items():
            say(f"{place.release}: making {rows:,} rows")
            with own.connect() as conn:
                make_source(conn, shape="narrow", indexes=3, rows=rows)
                make_segments(conn, SOURCE)
        for number in range(sizes.rounds):
            for rows, own in places.items():
                with own.connect() as conn:
                    values = _once(own, conn, rows)
                for what, value in values.items():
                    found.setdefault((rows, what), []).append(value)
                said = ", ".join(f"{what} {value:g} {UNITS[what][0]}" for what, value in values.items())
                say(f"  round {number + 1}: {rows:,} rows: {said}")
    return evaluate(f"{place.title}, narrow rows, 3 indexes", found)


def _once(place: Place, conn: Connection, rows: int) -> dict[str, float]:
    where = folders(place, conn)
    size = conn.execute("SELECT pg_total_relation_size(%s::regclass)", [TABLE]).fetchone()
    assert size is not None
    before, disk = written(conn), sum(disk_of(folder) for folder in where)
    started = time.perf_counter()
    try:
        footprint = watched(place, where, "start", TABLE, "--time", "game_date", "--chunk-interval", CHUNK)
        took = time.perf_counter() - started
        made = written(conn) - before
        analyze = own_account(conn).analyze
    finally:
        ferry(place, "abort", TABLE)
        conn.execute(f"VACUUM {TABLE}")
    return {
        TIME: round(took * MILLION / rows, 3),
        BARE_TIME: round((took - analyze) * MILLION / rows, 3),
        "memory of the program": round(footprint.memory / MB, 1),
        "WAL": round(made.wal / rows, 1),
        "disk written": round((made.wal + made.pages + made.temporary) / rows, 1),
        "additional disk at the peak": round((footprint.disk - disk) / int(str(size[0])), 3),
    }


def evaluate(case: str, found: dict[tuple[int, str], list[float]]) -> Measured:
    """A figure for each size and thing; the largest size's time a row over the smallest's, and the flattest sizes' aim."""
    figures = [
        Figure(case, f"{rows:,} rows", UNITS[what][0], tuple(values), what, "less", UNITS[what][1])
        for (rows, what), values in found.items()
    ]
    sizes = sorted({rows for rows, _ in found})
    ratios = [
        Ratio(case, f"{rows:,} rows", f"{sizes[0]:,} rows", _over(found[rows, what], found[sizes[0], what]),
              AIM_FLAT if what == TIME else None, f"{what}, {UNITS[what][0]}")
        for what in UNITS
        for rows in sizes[1:]
    ]  # fmt: skip
    return Measured(tuple(figures), tuple(ratios))


def _over(values: Sequence[float], others: Sequence[float]) -> tuple[float, ...]:
    return tuple(a / b for a, b in zip(values, others, strict=True))
