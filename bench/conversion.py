"""How long a conversion takes: every way in turn, round after round, on one server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from psycopg import sql

from .contenders import CONTENDERS, Job, Timing
from .place import Connection, Place, keep_segments, make_segments
from .result import Figure, Measured, Ratio, ratios_of
from .tables import SOURCE, make_source

OURS, BUSY, BARE = "hyperferry", "hyperferry, 1,000 writes/s", "INSERT ... SELECT, indexes after"
LOAD, PROOF = "hyperferry: load and indexes", "hyperferry: verification"
AIMS = {
    "stable": {"INSERT ... SELECT": 0.55, "migrate_data": 0.65},
    "testing": {"INSERT ... SELECT": 0.40, "migrate_data": 0.45, "plain table": 1.1},
}
AIM_VERIFICATION = 0.10


@dataclass(frozen=True)
class Sizes:
    """What is measured: numbers of rows, shapes, numbers of indexes, rounds, who takes part. `statistics_target`: the server's
    default_statistics_target where it is not PostgreSQL's own: by that one an ANALYZE of wide rows takes 90 s."""

    rows: Sequence[int]
    shapes: Sequence[str]
    indexes: Sequence[int]
    rounds: int
    who: Sequence[str]
    statistics_target: int | None = None


def measure(place: Place, sizes: Sizes, say: Callable[[str], None]) -> Measured:
    """Every case, the contenders in turn within each round, of which each begins with another."""
    figures: list[Figure] = []
    with place.connect() as conn:
        keep_segments(conn)
        aside = _statistics(conn, sizes.statistics_target)
        for shape in sizes.shapes:
            for rows in sizes.rows:
                for indexes in sizes.indexes:
                    say(f"{place.release}: {rows:,} {shape} rows, {indexes} indexes")
                    make_source(conn, shape=shape, indexes=indexes, rows=rows)
                    make_segments(conn, SOURCE)
                    figures += _case(
                        Job(place, conn, rows, indexes),
                        f"{place.title}, {rows:,} {shape} rows, {indexes} indexes{aside}",
                        sizes,
                        say,
                    )
    ratios: list[Ratio] = []
    for over, aim in {
        "INSERT ... SELECT": None,
        BARE: None,
        "migrate_data": None,
        "plain table": None,
        **AIMS[place.release],
    }.items():
        ratios += ratios_of(figures, OURS, over, aim)
        ratios += ratios_of(figures, BUSY, over)
    ratios += ratios_of(figures, PROOF, LOAD, AIM_VERIFICATION)
    return Measured(tuple(figures), tuple(ratios))


def _statistics(conn: Connection, target: int | None) -> str:
    """Sets it for the whole server; returns what a case's name says of it."""
    if target is None:
        return ""
    conn.execute(sql.SQL("ALTER SYSTEM SET default_statistics_target = {}").format(sql.Literal(target)))
    conn.execute("SELECT pg_reload_conf()")
    return f", statistics target {target}"


def turned(who: Sequence[str], number: int) -> Sequence[str]:
    """The order of a round: the first as given, each later one begun by the next in turn. Who comes after whom is the same."""
    first = number % len(who)
    return (*who[first:], *who[:first])


def parts_of(who: str, timing: Timing) -> dict[str, float]:
    """The timing's parts in seconds, by the names that the page has for them."""
    parts = {who: timing.total, f"{who}: ANALYZE": timing.analyze}
    if timing.load is not None:
        parts[f"{who}: load and indexes"] = timing.load
    if timing.verify is not None:
        parts[f"{who}: verification"] = timing.verify
    return parts


def _case(job: Job, case: str, sizes: Sizes, say: Callable[[str], None]) -> list[Figure]:
    totals: dict[str, list[float]] = {}
    writes: dict[str, list[float]] = {}
    for number in range(sizes.rounds):
        for who in turned(sizes.who, number):
            job.conn.execute("CHECKPOINT")
            timing = CONTENDERS[who](job)
            if timing.writes is not None:
                writes.setdefault(who, []).append(timing.writes)
            parts = parts_of(who, timing)
            for part, seconds in parts.items():
                totals.setdefault(part, []).append(round(seconds, 3))
            say(
                f"  round {number + 1}: "
                + ", ".join(f"{part} {seconds:.2f} s" for part, seconds in parts.items())
            )
    figures = [Figure(case, who, "s", tuple(values)) for who, values in totals.items()]
    figures += [Figure(case, who, "writes/s", tuple(values), "achieved") for who, values in writes.items()]
    if PROOF in totals:
        rates = tuple(round(job.rows / seconds) for seconds in totals[PROOF])
        figures.append(Figure(case, PROOF, "rows/s", rates, better="more"))
    return figures
