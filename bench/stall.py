"""How long writers stand still at a swap: cutovers and rollbacks under writers, at full speed or at a rate.

`python -m bench.stall --swaps 100 --release stable`, or `make stall N=100 RELEASE=stable`. Fails on any writer's error, and on
any row that differs at the end. What a writer feels is the longest of its statements that was under way within a second of the
swap, or of any attempt at it that gave way.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import re
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import click
import psycopg

from hyperferry import engine
from hyperferry.errors import HyperferryError
from hyperferry.model.plan_options import PlanOptions

from . import workload
from .place import machine, place, revision, server_settings

TABLE = """
SET timezone = 'UTC';
CREATE TABLE stats (id bigserial PRIMARY KEY, at timestamptz NOT NULL, n integer, v numeric, note text);
INSERT INTO stats (at, n, v, note) SELECT timestamptz '2024-01-01' + i * interval '1 s' * ({days} * 86400.0 / {rows}),
    i % 1000, i % 97, 'row ' || i FROM generate_series(0, {rows} - 1) AS i;
CREATE INDEX stats_at ON stats (at); CREATE INDEX stats_n ON stats (n, at);
CREATE VIEW per_n AS SELECT n, count(*) AS rows, sum(v) AS total FROM stats GROUP BY n;
"""
HANGING = """
CREATE TABLE games (n integer PRIMARY KEY);
INSERT INTO games SELECT generate_series(0, 999);
ALTER TABLE stats ADD FOREIGN KEY (n) REFERENCES games;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.note := ''noted''; RETURN new; END';
CREATE TRIGGER noted BEFORE UPDATE ON stats FOR EACH ROW EXECUTE FUNCTION noted();
"""
"""What has to go and come in the swap's own transaction."""
BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)
ONE = "id = %(key)s AND at BETWEEN %(low)s AND %(high)s"
"""A row of the first ones by its id and its time, as an application of a hypertable does."""
NOTICED_MS = 2.0
"""Quicker statements are counted, but not kept one by one."""
WEEK_DAYS = 7
AROUND_SECONDS = 1.0
"""So long before and after a swap, or an attempt that gave way, what writers wait is put down to it."""
PAUSE_SECONDS = 1.5
"""Between two swaps: longer than AROUND_SECONDS; what comes then is `apart from swaps`."""
GAVE_WAY = re.compile(r"attempt \d+ gave way: ")
"""What the tool says when an attempt has failed."""


KINDS = ("insert", "update", "delete")


@dataclass(frozen=True)
class Wait:
    """One statement: when it ended (seconds since 1970), how long it took, and which kind it was."""

    ended: float
    ms: float
    kind: str = ""


@dataclass
class Swap:
    """One swap: what the tool said, and what writers felt: the longest statement of any kind, and of each. `moments`: when it
    was, in seconds since 1970, and before it when each attempt that gave way ended."""

    way: str
    attempts: int
    reported_ms: float
    changes_under_lock: int
    felt_ms: float = 0.0
    felt_by_kind: dict[str, float] = field(default_factory=dict)
    moments: list[float] = field(default_factory=list)


@dataclass
class Outcome:
    """Everything of one run. `usual_ms`: statements apart from swaps, as far as they were kept; `usual_by_kind` tells them apart
    by the table that served: a statement that takes 60 ms on the hypertable at any time takes no less around a swap."""

    swaps: list[Swap] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    differences: int = 0
    statements: int = 0
    seconds: float = 0.0
    usual_ms: dict[str, float] = field(default_factory=dict)
    usual_by_kind: dict[str, dict[str, float]] = field(default_factory=dict)


def _write(dsn: str, number: int, rows: int, span_days: int, every: float, stop: Event, out: Any) -> None:
    """One writer, in a process of its own: inserts, updates, deletes, each a transaction; one `every` so many seconds (0:
    without a pause), and after a wait as many as are due."""
    chance = random.Random(number)
    waits: list[tuple[float, float, str]] = []
    sample: list[tuple[float, float, str]] = []
    errors: list[str] = []
    done = 0
    with psycopg.connect(dsn, autocommit=True, application_name=f"app writer {number}") as conn:
        # A plan for any time would hold every chunk, which is the hypertable's own matter and not the swap's.
        conn.execute("SET plan_cache_mode = force_custom_plan")
        starter = multiprocessing.parent_process()
        due = time.monotonic() + every * chance.random()
        while not stop.is_set() and (done % 100 or starter is None or starter.is_alive()):
            kind, key = chance.random(), chance.randrange(1, rows)
            at = BEGINNING + timedelta(days=(key - 1) * span_days / rows)
            one = {"key": key, "low": at - timedelta(minutes=1), "high": at + timedelta(minutes=1)}
            time.sleep(max(0.0, due - time.monotonic()))
            due += every
            began = time.monotonic()
            try:
                if kind < 0.4:
                    name = "insert"
                    conn.execute(
                        "INSERT INTO stats (at, n, v, note) "
                        "VALUES (timestamptz '2024-01-01' + %s * interval '1 day', %s, 1, 'new')",
                        [chance.random() * span_days, key % 1000],
                    )
                elif kind < 0.9:
                    name = "update"
                    conn.execute(f"UPDATE stats SET v = v + 1 WHERE {ONE}", one)
                else:
                    name = "delete"
                    conn.execute(f"DELETE FROM stats WHERE {ONE}", one)
                done += 1
            except psycopg.Error as error:
                errors.append(f"{error.sqlstate} {error}")
            ms = (time.monotonic() - began) * 1000
            if ms >= NOTICED_MS:
                waits.append((time.time(), ms, name))
            if done % 16 == 0:
                sample.append((time.time(), ms, name))
    out.put((number, done, waits, sample, errors))


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that this share of them does not exceed (nearest rank): of 100 the 99th for 0.99."""
    return workload.percentile(sorted(values), share) if values else 0.0


def felt(waits: Sequence[Wait], moments: Sequence[float]) -> float:
    """The longest statement that was under way within AROUND_SECONDS of a moment; `waits` in the order of their ends."""
    longest = 0.0
    for moment in moments:
        first = bisect_left(waits, moment - AROUND_SECONDS, key=lambda wait: wait.ended)
        inside = (wait.ms for wait in waits[first:] if wait.ended - wait.ms / 1000 <= moment + AROUND_SECONDS)
        longest = max(longest, *inside, 0.0)
    return longest


def measure(
    dsn: str,
    *,
    swaps: int,
    rows: int = 200_000,
    chunks: int = 50,
    writers: int = 4,
    rate: int | None = None,
    hanging: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """`swaps` cutovers and as many rollbacks of a table made for it in the database of `dsn`, with a foreign key and a user
    trigger where `hanging`. The writers make `rate` statements a second together; None: as many as they can."""
    outcome = Outcome()
    days = chunks * WEEK_DAYS
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(TABLE.format(days=days, rows=rows))
        if hanging:
            conn.execute(HANGING)
        conn.execute("VACUUM ANALYZE stats")
    plan = engine.make_plan(dsn, "stats", "at", PlanOptions(chunk_interval=f"{WEEK_DAYS} days"))
    engine.start(dsn, None, plan)
    say(f"synced: {rows} rows, about {chunks} chunks")
    context = multiprocessing.get_context("spawn")
    stop, out = context.Event(), context.Queue()
    people = [
        context.Process(
            target=_write,
            args=(dsn, number, rows, days, writers / rate if rate else 0.0, stop, out),
            daemon=True,
        )
        for number in range(writers)
    ]
    began = time.monotonic()
    for writer in people:
        writer.start()
    time.sleep(2)
    try:
        for number in range(swaps):
            for way in ("cutover", "rollback"):
                swap = _once(dsn, way)
                outcome.swaps.append(swap)
                time.sleep(PAUSE_SECONDS)
            say(f"{number + 1} of {swaps}: {swap.attempts} attempts, {swap.reported_ms:.1f} ms reported")
    finally:
        stop.set()
        answers = [out.get(timeout=120) for _ in people]
        for writer in people:
            writer.join(60)
    outcome.seconds = time.monotonic() - began
    account(outcome, answers)
    engine.sync(dsn, "stats", until_empty=True)
    with psycopg.connect(dsn) as conn:
        here, there = "SELECT t::text FROM stats AS t", "SELECT t::text FROM hyperferry_new_1.stats AS t"
        for one, other in ((here, there), (there, here)):
            row = conn.execute(f"SELECT count(*) FROM ({one} EXCEPT ALL {other}) AS d").fetchone()
            assert row is not None
            outcome.differences += int(row[0])
    return outcome


def _once(dsn: str, way: str) -> Swap:
    """One swap, and the moments of its attempts."""
    moments: list[float] = []

    def say(text: str) -> None:
        if GAVE_WAY.match(text):
            moments.append(time.time())

    if way == "cutover":
        report = engine.cutover(dsn, "stats", accept=frozenset({"all"}), attempts=200, say=say)
    else:
        report = engine.rollback(dsn, "stats", attempts=200, say=say)
    if len(moments) != report.attempts - 1:
        raise RuntimeError(f"{report.attempts} attempts, of which {len(moments)} were said to have given way")
    with psycopg.connect(dsn) as conn:
        row = conn.execute(
            "SELECT EXTRACT(epoch FROM at)::float8 FROM hyperferry.event WHERE kind = 'swap' ORDER BY id DESC LIMIT 1"
        ).fetchone()
    assert row is not None
    moments.append(row[0])
    return Swap(way, report.attempts, report.stall_ms, report.changes_under_lock, moments=moments)


def account(outcome: Outcome, answers: Sequence[Any]) -> None:
    """Puts what the writers noted (their `answers`, as `_write` gives them) into the outcome and its swaps."""
    waits = sorted((Wait(*wait) for answer in answers for wait in answer[2]), key=lambda wait: wait.ended)
    for swap in outcome.swaps:
        swap.felt_ms = round(felt(waits, swap.moments), 1)
        swap.felt_by_kind = {
            kind: round(felt([wait for wait in waits if wait.kind == kind], swap.moments), 1) for kind in KINDS
        }
    outcome.statements = sum(answer[1] for answer in answers)
    outcome.errors = [f"writer {answer[0]}: {error}" for answer in answers for error in answer[4]]
    moments = sorted(moment for swap in outcome.swaps for moment in swap.moments)
    apart = [wait.ms for wait in waits if not _near(moments, wait)]
    sample = sorted((Wait(*one) for answer in answers for one in answer[3]), key=lambda wait: wait.ended)
    outcome.usual_ms = {
        "median": round(percentile([wait.ms for wait in sample], 0.5), 2),
        "slower than 2 ms, p99": round(percentile(apart, 0.99), 1),
        "slower than 2 ms, max": round(max(apart, default=0.0), 1),
    }
    outcome.usual_by_kind = usual_by_kind(sample, outcome.swaps)


def _near(moments: Sequence[float], wait: Wait) -> bool:
    """Whether a statement was under way within AROUND_SECONDS of one of the moments, which are in order."""
    after = bisect_left(moments, wait.ended - wait.ms / 1000 - AROUND_SECONDS)
    return after < len(moments) and moments[after] <= wait.ended + AROUND_SECONDS


def usual_by_kind(sample: Sequence[Wait], swaps: Sequence[Swap]) -> dict[str, dict[str, float]]:
    """Statements apart from swaps: `update on the hypertable` -> median and p99 in ms. After a cutover the hypertable serves."""
    found: dict[str, list[float]] = {}
    done = [swap.moments[-1] for swap in swaps]
    moments = sorted(moment for swap in swaps for moment in swap.moments)
    for wait in sample:
        if _near(moments, wait):
            continue
        before = bisect_left(done, wait.ended)
        served = "hypertable" if before and swaps[before - 1].way == "cutover" else "plain table"
        found.setdefault(f"{wait.kind} on the {served}", []).append(wait.ms)
    return {
        name: {"p50": round(percentile(values, 0.5), 2), "p99": round(percentile(values, 0.99), 1)}
        for name, values in sorted(found.items())
    }


def table(outcome: Outcome) -> list[str]:
    """The figures as lines."""
    lines = [f"{'':9} {'':22} {'p50':>9} {'p99':>9} {'max':>9}"]
    for way in ("cutover", "rollback"):
        of = [swap for swap in outcome.swaps if swap.way == way]
        for what, values in (
            ("longest writer, ms", [swap.felt_ms for swap in of]),
            *((f"longest {kind}, ms", [swap.felt_by_kind.get(kind, 0.0) for swap in of]) for kind in KINDS),
            ("stall_ms reported", [swap.reported_ms for swap in of]),
            ("attempts", [float(swap.attempts) for swap in of]),
            ("changes under lock", [float(swap.changes_under_lock) for swap in of]),
        ):
            figures = (percentile(values, 0.5), percentile(values, 0.99), max(values, default=0.0))
            lines.append(f"{way:9} {what:22} " + " ".join(f"{figure:9.1f}" for figure in figures))
    usual = ", ".join(f"{name} {ms} ms" for name, ms in outcome.usual_ms.items())
    lines.append(f"{outcome.statements} statements in {outcome.seconds:.0f} s; apart from swaps: {usual}")
    for name, usual_of in outcome.usual_by_kind.items():
        lines.append(f"apart from swaps, {name}: p50 {usual_of['p50']} ms, p99 {usual_of['p99']} ms")
    lines.append(f"{len(outcome.errors)} errors of writers, {outcome.differences} rows that differ")
    return lines


@click.command()
@click.option(
    "--swaps", default=100, show_default=True, type=click.IntRange(1), help="Cutovers, and as many rollbacks."
)
@click.option(
    "--release", default="both", show_default=True, type=click.Choice(["stable", "testing", "both"])
)
@click.option("--rows", default=200_000, show_default=True, type=click.IntRange(1000))
@click.option("--chunks", default=50, show_default=True, type=click.IntRange(1))
@click.option("--writers", default=4, show_default=True, type=click.IntRange(1))
@click.option(
    "--rate",
    type=click.IntRange(1),
    help="Statements of all writers a second; without it as many as they can.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Keep the figures as JSON here.")
def main(
    swaps: int, release: str, rows: int, chunks: int, writers: int, rate: int | None, out: Path | None
) -> None:
    """How long writers stand still at cutovers and rollbacks."""
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision(),
        "machine": machine(),
        "rows": rows,
        "chunks": chunks,
        "writers": writers,
        "rate": rate,
    }
    runs: list[dict[str, object]] = []
    bad = False
    for name in ("stable", "testing") if release == "both" else (release,):
        with place(name) as where:
            server = f"PG {where.postgres} / TS {where.timescaledb} {where.edition}"
            with where.connect() as conn:
                settings = server_settings(conn)
            try:
                outcome = measure(
                    where.dsn,
                    swaps=swaps,
                    rows=rows,
                    chunks=chunks,
                    writers=writers,
                    rate=rate,
                    say=lambda text: print(text, file=sys.stderr, flush=True),
                )
            except HyperferryError as error:
                print(error, file=sys.stderr)
                sys.exit(1)
        print(
            "\n".join([f"{server}, {rows} rows, {chunks} chunks, {writers} writers", *table(outcome)]),
            flush=True,
        )
        runs.append({"server": server, "settings": settings, **asdict(outcome)})
        for line in outcome.errors[:10]:
            print(line, file=sys.stderr)
        bad = bad or bool(outcome.errors or outcome.differences)
    if out is not None:
        out.write_text(json.dumps(about | {"runs": runs}, indent=1, ensure_ascii=False) + "\n", "utf-8")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
