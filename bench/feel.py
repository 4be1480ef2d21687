"""What writers feel of a rollout: one workload through all of it, cut into windows by the ledger's own times."""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from .account import last_swap, own_account
from .contenders import ferry
from .place import Connection, Place, as_installed, keep_segments
from .result import Figure, Measured, Ratio
from .tables import CHUNK, SOURCE, make_source
from .workload import Feeling, Log, Window, workload

TABLE = f"public.{SOURCE}"
ALONE, AGAIN = "alone", "alone, again"
UNTHROTTLED = tuple(
    word
    for limit in ("rate", "replica-lag", "slot-lag", "latency", "lock-wait", "cores")
    for word in (f"--max-{limit}", "none")
)
WAYS = {"default throttle": (), "no throttle": UNTHROTTLED}
AIM_COPY, AIM_STALL_MS = 1.2, 50.0
AROUND_SWAP_SECONDS = 1.0
AT_ONCE = 2_000
"""Rows that one UPDATE of the backlog's maker changes: small ones, so that writers do not queue behind it."""


@dataclass(frozen=True)
class Sizes:
    """Rows of the table; transactions a second; seconds of a phase that has no length of its own; rows of the backlog that is
    caught up with; rounds; seconds between two phases."""

    rows: int
    rate: int
    seconds: float
    backlog: int
    rounds: int
    settle: float = 2.0


@dataclass(frozen=True)
class Round:
    """One round's windows: phases in order, swaps by name."""

    phases: dict[str, Window]
    swaps: dict[str, Window]


def measure(place: Place, sizes: Sizes, say: Callable[[str], None]) -> Measured:
    """Latencies in each phase of a rollout, over those of the workload alone before and after it."""
    rounds: list[Round] = []
    with place.connect() as conn:
        keep_segments(conn)
        make_source(conn, shape="narrow", indexes=3, rows=sizes.rows)
        say(f"{place.release}: a rollout that nobody measures, which makes the segments of WAL")
        ferry(place, "start", TABLE, "--time", "game_date", "--chunk-interval", CHUNK)
        _abort(place, conn)
        with workload(place, sizes.rows, sizes.rate) as writers:
            for number in range(sizes.rounds):
                say(f"{place.release}: round {number + 1}")
                rounds.append(_round(place, conn, sizes, say))
            log = writers.stop(max(w.end for w in (*rounds[-1].phases.values(), *rounds[-1].swaps.values())))
    return evaluate(
        f"{place.title}, {sizes.rows:,} rows, 3 indexes, {sizes.rate:,} transactions/s", rounds, log
    )


def _round(place: Place, conn: Connection, sizes: Sizes, say: Callable[[str], None]) -> Round:
    phases: dict[str, Window] = {}
    _settle(conn, sizes.settle)
    phases[ALONE] = _for(sizes.seconds)
    for number, (way, options) in enumerate(WAYS.items()):
        phases |= _start(place, conn, way, options)
        if number == 0:
            _abort(place, conn)
            _settle(conn, sizes.settle)
            phases[f"{ALONE}, between"] = _for(sizes.seconds)
    _settle(conn, sizes.settle)
    phases["captured, nothing applied"] = _for(sizes.seconds)
    _make_backlog(conn, sizes)
    _settle(conn, sizes.settle)
    began = time.time()
    ferry(place, "sync", TABLE, "--until-empty")
    phases["catch-up"] = Window(began, time.time())
    ferry(place, "cutover", TABLE, "--accept", "all")
    swaps = {"cutover": around(*last_swap(conn))}
    time.sleep(AROUND_SWAP_SECONDS)
    _settle(conn, sizes.settle)
    with _syncing(place):
        phases["reverse sync"] = _for(sizes.seconds)
    ferry(place, "rollback", TABLE)
    swaps["rollback"] = around(*last_swap(conn))
    time.sleep(AROUND_SWAP_SECONDS)
    _abort(place, conn)
    _settle(conn, sizes.settle)
    phases[AGAIN] = _for(sizes.seconds)
    say("  " + ", ".join(f"{name} {window.end - window.start:.1f} s" for name, window in phases.items()))
    return Round(phases, swaps)


def _start(place: Place, conn: Connection, way: str, options: tuple[str, ...]) -> dict[str, Window]:
    began = time.time()
    ferry(place, "start", TABLE, "--time", "game_date", "--chunk-interval", CHUNK, *options)
    ended = time.time()
    own = own_account(conn)
    moments = {
        "copy": Window(own.copying, own.copied),
        "indexes": Window(own.copied, own.indexed),
        "ANALYZE": Window(own.indexed, own.analyzed),
        "verification": Window(own.verifying, own.verified),
        "start to synced": Window(began, ended),
    }
    return {f"{name}, {way}": window for name, window in moments.items()}


def _abort(place: Place, conn: Connection) -> None:
    """And no autovacuum in the phases to come."""
    ferry(place, "abort", TABLE)
    conn.execute(f"VACUUM (ANALYZE) {TABLE}")


def _for(seconds: float) -> Window:
    began = time.time()
    time.sleep(seconds)
    return Window(began, time.time())


def around(verified: float, swapped: float) -> Window:
    """What is put down to a swap: every attempt at it, of which the first comes after its verification, and a second after it."""
    return Window(min(verified, swapped - AROUND_SWAP_SECONDS), swapped + AROUND_SWAP_SECONDS)


def _settle(conn: Connection, seconds: float) -> None:
    """What went before is written, and writers that fell behind have caught up."""
    conn.execute("CHECKPOINT")
    time.sleep(seconds)


def _make_backlog(conn: Connection, sizes: Sizes) -> None:
    for low in range(0, min(sizes.backlog, sizes.rows), AT_ONCE):
        conn.execute(
            sql.SQL("UPDATE public.{} SET value = value + 1 WHERE id > %s AND id <= %s").format(
                sql.Identifier(SOURCE)
            ),
            [low, low + AT_ONCE],
        )


@contextmanager
def _syncing(place: Place) -> Iterator[None]:
    """`hyperferry sync` beside the block, ended as a user would end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hyperferry", "sync", TABLE, "--dsn", place.dsn],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=as_installed(),
    )  # fmt: skip
    try:
        time.sleep(1.0)
        yield
        if process.poll() is not None:
            raise RuntimeError(f"hyperferry sync ended: {process.communicate()[1]}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def evaluate(case: str, rounds: list[Round], log: Log) -> Measured:
    """Figures of each phase that every round has transactions of, and their ratios to `alone`; the longest wait at each swap."""
    felt = [{name: log.feeling(window) for name, window in one.phases.items()} for one in rounds]
    figures: list[Figure] = []
    ratios: list[Ratio] = []
    for name in rounds[0].phases:
        own = [feeling for one in felt if (feeling := one[name]) is not None]
        if len(own) < len(rounds):
            continue  # so short that nothing ended in it
        figures += [
            Figure(case, name, unit, tuple(round(value(feeling), 3) for feeling in own), what)
            for what, (unit, value) in MEASURES.items()
        ]
        if name == ALONE:
            continue
        alone = ALONE if name.startswith(ALONE) else "alone before and after"
        for what in ("p50", "p95", "p99"):
            value = MEASURES[what][1]
            values = tuple(value(f) / _alone(one, value, name) for f, one in zip(own, felt, strict=True))
            aimed = what == "p99" and name in ("copy, default throttle", "start to synced, default throttle")
            ratios.append(Ratio(case, name, alone, values, AIM_COPY if aimed else None, what))
    for swap in rounds[0].swaps:
        waits = tuple(round(log.longest(one.swaps[swap]), 1) for one in rounds)
        figures.append(Figure(case, swap, "ms", waits, "longest wait", "less", AIM_STALL_MS))
    return Measured(tuple(figures), tuple(ratios))


MEASURES: dict[str, tuple[str, Callable[[Feeling], float]]] = {
    "p50": ("ms", lambda feeling: feeling.p50),
    "p95": ("ms", lambda feeling: feeling.p95),
    "p99": ("ms", lambda feeling: feeling.p99),
    "max": ("ms", lambda feeling: feeling.longest),
    "throughput": ("transactions/s", lambda feeling: feeling.per_second),
}


def _alone(one: dict[str, Feeling | None], value: Callable[[Feeling], float], phase: str) -> float:
    """The workload alone: for a phase the mean of before and after it, for a later `alone` the first one."""
    names = list(one)
    if phase.startswith(ALONE):
        return value(_there(one[ALONE]))
    own = [names.index(name) for name in names if name.startswith(ALONE)]
    before = max(place for place in own if place < names.index(phase))
    after = min(place for place in own if place > names.index(phase))
    return statistics.mean(value(_there(one[names[place]])) for place in (before, after))


def _there(feeling: Feeling | None) -> Feeling:
    if feeling is None:
        raise RuntimeError("no transaction ended while the workload was alone")
    return feeling
