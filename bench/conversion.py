"""How long a conversion takes: every way in turn, round after round, on one server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .contenders import CONTENDERS, Job
from .place import Place
from .result import Figure, Ratio, ratios_of
from .tables import make_source

AIMS = {
    "stable": {"INSERT ... SELECT": 0.55, "migrate_data": 0.65},
    "testing": {"INSERT ... SELECT": 0.40, "migrate_data": 0.45, "plain table": 1.1},
}


@dataclass(frozen=True)
class Sizes:
    """What is measured: numbers of rows, shapes, numbers of indexes, rounds, who takes part."""

    rows: Sequence[int]
    shapes: Sequence[str]
    indexes: Sequence[int]
    rounds: int
    who: Sequence[str]


def measure(place: Place, sizes: Sizes, say: Callable[[str], None]) -> tuple[list[Figure], list[Ratio]]:
    """Every case, the contenders interleaved within each round."""
    figures: list[Figure] = []
    with place.connect() as conn:
        for shape in sizes.shapes:
            for rows in sizes.rows:
                for indexes in sizes.indexes:
                    say(f"{place.release}: {rows:,} {shape} rows, {indexes} indexes")
                    make_source(conn, shape=shape, indexes=indexes, rows=rows)
                    case = f"PG {place.postgres} / TS {place.timescaledb}, {rows:,} {shape} rows, {indexes} indexes"
                    figures += _case(Job(place, conn, rows, indexes), case, sizes, say)
    ratios: list[Ratio] = []
    for over, aim in {"INSERT ... SELECT": None, "migrate_data": None, "plain table": None, **AIMS[place.release]}.items():
        ratios += ratios_of(figures, "hyperferry", over, aim)
        ratios += ratios_of(figures, "hyperferry, 1,000 writes/s", over)
    return figures, ratios


def _case(job: Job, case: str, sizes: Sizes, say: Callable[[str], None]) -> list[Figure]:
    totals: dict[str, list[float]] = {}
    for number in range(sizes.rounds):
        for who in sizes.who:
            job.conn.execute("CHECKPOINT")
            timing = CONTENDERS[who](job)
            parts = {"": timing.total, ": ANALYZE": timing.analyze}
            if timing.verify is not None:
                parts[": verification"] = timing.verify
            for part, seconds in parts.items():
                totals.setdefault(who + part, []).append(round(seconds, 3))
            say(f"  round {number + 1}: {who}: " + ", ".join(f"{p or ': in all'} {s:.2f} s"[2:] for p, s in parts.items()))
    return [Figure(case, who, "s", tuple(values)) for who, values in totals.items()]
