"""`python -m bench.hook`: what hyperferry.sqlalchemy costs a query, in each state. Printed; the figures: docs/sqlalchemy.md."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import click
from psycopg.conninfo import make_conninfo
from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, Table, create_engine, select
from sqlalchemy.orm import Session, sessionmaker

from hyperferry import engine
from hyperferry.flag import Flag
from hyperferry.flag.flag import NAME
from hyperferry.flag.reads import allow
from hyperferry.model.plan_options import PlanOptions
from hyperferry.sqlalchemy import ShadowReads, by_psycopg, route_reads

from .place import Place, place

STATS = Table(
    "stats",
    MetaData(),
    Column("id", BigInteger, primary_key=True),
    Column("at", DateTime(timezone=True)),
    Column("value", Integer),
)

MAKE = """
CREATE TABLE stats (id bigint PRIMARY KEY, at timestamptz NOT NULL, value int NOT NULL);
INSERT INTO stats SELECT i, '2024-01-01'::timestamptz + i * interval '1 minute', i FROM generate_series(1, %s) AS i;
"""

Call = Callable[[Session], None]


@dataclass(frozen=True)
class Timed:
    """Microseconds of one query: each round's mean; `plain` are the same rounds' without the hook."""

    state: str
    queries: int
    rounds: tuple[float, ...]
    plain: tuple[float, ...]

    @property
    def best(self) -> float:
        """Of the round that was disturbed least."""
        return min(self.rounds)

    @property
    def ratio(self) -> float:
        """Over the same round's without the hook, the median."""
        return statistics.median(a / b for a, b in zip(self.rounds, self.plain, strict=True))


def measure(where: Place, *, rows: int, sessions: int, rounds: int) -> list[Timed]:
    """All states in turn, round after round: one query in a session, and ten."""
    with where.connect() as conn:
        conn.execute(MAKE.replace("%s", str(rows)))
    found: list[Timed] = []
    beside = STATS.to_metadata(MetaData(), schema="hyperferry_new_1")
    on = [False]
    made = create_engine(make_url(where.dsn))
    plain = sessionmaker(made)
    flagged, hooked, shadowed = sessionmaker(made), sessionmaker(made), sessionmaker(made)
    source = by_psycopg(where.dsn)
    hook = route_reads(hooked, STATS, flag=lambda: on[0], source=source, max_lag=None)
    off = route_reads(flagged, STATS, flag=Flag(environ={NAME: "off"}), source=source, max_lag=None)
    shadow = ShadowReads(where.dsn, percent=100, waiting=10)
    compared = route_reads(shadowed, STATS, flag=lambda: False, source=source, max_lag=None, shadow=shadow)
    try:
        hook.refresh()
        found += _timed({"no hook": plain, "hook, no rollout": hooked}, rows, sessions, rounds)
        plan = engine.make_plan(where.dsn, "stats", "at", PlanOptions(chunk_interval="30 days"))
        engine.start(where.dsn, None, plan, say=lambda line: None)
        with where.connect() as conn:
            (role,) = conn.execute("SELECT current_user::text").fetchone() or ("",)
        allow(where.dsn, "stats", str(role))
        for each in (hook, off, compared):
            each.refresh()
        states = {
            "no hook, a rollout runs": plain,
            "hook, flag off": flagged,
            "hook, a function that says no": hooked,
            "shadow reads of 100 %": shadowed,
        }
        found += _timed(states, rows, sessions, rounds)
        on[0] = True
        states = {"no hook, the hypertable": plain, "hook, flag on": hooked}
        found += _timed(states, rows, sessions, rounds, {"no hook, the hypertable": beside})
    finally:
        for each in (hook, off, compared):
            each.close()
        made.dispose()
    return found


def make_url(dsn: str) -> Any:
    """A URL for SQLAlchemy whose connections libpq makes of the DSN."""
    from sqlalchemy import URL

    return URL.create("postgresql+psycopg", query={"service": ""} if not dsn else _parts(dsn))


def _parts(dsn: str) -> dict[str, str]:
    from psycopg.conninfo import conninfo_to_dict

    return {key: str(value) for key, value in conninfo_to_dict(make_conninfo(dsn)).items()}


def _timed(
    states: dict[str, sessionmaker[Session]],
    rows: int,
    sessions: int,
    rounds: int,
    tables: Mapping[str, Table] = MappingProxyType({}),
) -> list[Timed]:
    means: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds + 1):
        for state, factory in states.items():
            for queries in (1, 10):
                count = sessions if queries == 1 else max(1, sessions // 10)
                means.setdefault((state, queries), []).append(
                    _mean(factory, tables.get(state, STATS), rows, count, queries)
                )
    first = next(iter(states))
    return [
        Timed(state, queries, tuple(each[1:]), tuple(means[first, queries][1:]))
        for (state, queries), each in means.items()
    ]


def _mean(factory: sessionmaker[Session], table: Table, rows: int, count: int, queries: int) -> float:
    ids = [random.randint(1, rows) for _ in range(count * queries)]
    began = time.perf_counter()
    for start in range(0, len(ids), queries):
        with factory() as session:
            for number in ids[start : start + queries]:
                session.scalar(select(table.c.value).where(table.c.id == number))
    return (time.perf_counter() - began) / len(ids) * 1e6


def made_of_a_session(seconds: float = 0.5) -> tuple[float, float]:
    """Nanoseconds of making a session without and with the hook, where no rollout runs: all that the hook does then."""
    plain, hooked = sessionmaker(), sessionmaker()
    hook = route_reads(hooked, STATS, flag=lambda: False, source=lambda table: None)
    best = []
    try:
        for factory in (plain, hooked):
            factory()
            times = []
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                began = time.perf_counter()
                for _ in range(500):
                    factory()
                times.append((time.perf_counter() - began) / 500 * 1e9)
            best.append(min(times))
    finally:
        hook.close()
    return best[0], best[1]


def table(found: list[Timed]) -> list[str]:
    """For docs/sqlalchemy.md."""
    lines = [
        "| | one query in a session, µs | over no hook | ten, µs each | over no hook |",
        "|---|---|---|---|---|",
    ]
    by_state: dict[str, dict[int, Timed]] = {}
    for each in found:
        by_state.setdefault(each.state, {})[each.queries] = each
    for state, timed in by_state.items():
        cells = [f"{each.best:.0f} | {each.ratio:.2f}" for each in timed.values()]
        lines.append(f"| {state} | {' | '.join(cells)} |")
    return lines


@click.command()
@click.option("--release", default="stable", type=click.Choice(["stable", "testing"]))
@click.option("--rows", default=200_000, show_default=True)
@click.option("--sessions", default=1000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(release: str, rows: int, sessions: int, rounds: int) -> None:
    """What hyperferry.sqlalchemy costs a query."""
    plain, hooked = made_of_a_session()
    print(f"A session, no rollout: {plain:.0f} ns without, {hooked:.0f} ns with the hook")
    with place(release) as where:
        print(
            f"PG {where.postgres} / TS {where.timescaledb} {where.edition}, {rows} rows, over TCP on one machine"
        )
        print("\n".join(table(measure(where, rows=rows, sessions=sessions, rounds=rounds))))


if __name__ == "__main__":
    main()
