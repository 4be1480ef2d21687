"""How fast changes are applied: a backlog made beforehand, alone and while writers refill it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from .capture import captured
from .contenders import ferry, writers
from .place import Connection, Place
from .result import Figure, Ratio
from .tables import SOURCE

AIM_PER_SECOND = 50_000
MAKERS = {
    "updates, every third row": "UPDATE public.{t} SET value = value + 1 WHERE id % 3 = 0",
    "updates of the newest rows": "UPDATE public.{t} SET value = value + 1 WHERE id > {rows} - {rows} / 3",
    "inserts into the last chunks": "INSERT INTO public.{t} (player_id, game_id, stat_type, value, game_date) "
    "SELECT i % 5000, i, 'goals', 1, timestamptz '2023-02-01' + i * interval '10 s' FROM generate_series(1, {rows} / 3) AS i",
    "deletes, every ninth row": "DELETE FROM public.{t} WHERE id % 9 = 1",
}


def _backlog(place: Place) -> int:
    return int(json.loads(ferry(place, "status", f"public.{SOURCE}", "--json"))["backlog"])


def measure(
    place: Place, rows: int, rounds: int, rates: tuple[int, ...], say: Callable[[str], None]
) -> tuple[list[Figure], list[Ratio]]:
    """Changes a second, for each kind of backlog; the seconds to empty one that is refilled."""
    speeds: dict[str, list[float]] = {}
    emptied: dict[str, list[float]] = {}
    with captured(place, rows) as conn:
        for number in range(rounds):
            for what, statement in MAKERS.items():
                conn.execute(statement.format(t=SOURCE, rows=rows))
                speeds.setdefault(what, []).append(_empty(place, conn, say, f"round {number + 1}: {what}"))
            for rate in rates:
                conn.execute(MAKERS["updates, every third row"].format(t=SOURCE, rows=rows))
                with writers(place, rows, rate=rate):
                    started = time.perf_counter()
                    ferry(place, "sync", f"public.{SOURCE}", "--until-empty")
                    took = time.perf_counter() - started
                ferry(place, "sync", f"public.{SOURCE}", "--until-empty")
                emptied.setdefault(f"{rows // 3:,} changes under {rate:,} writes/s", []).append(round(took, 2))
                say(f"  round {number + 1}: {rows // 3:,} changes under {rate:,} writes/s: empty after {took:.1f} s")
    where = f"PG {place.postgres} / TS {place.timescaledb}, {rows:,} rows, 3 indexes"
    figures = [Figure(f"{where}: apply", what, "changes/s", tuple(values)) for what, values in speeds.items()]
    figures += [Figure(f"{where}: until empty", what, "s", tuple(values)) for what, values in emptied.items()]
    aims = [
        Ratio(f"{where}: {what}", f"{AIM_PER_SECOND:,} changes/s", "applied", tuple(AIM_PER_SECOND / v for v in values), 1.0)
        for what, values in speeds.items()
    ]
    return figures, aims


def _empty(place: Place, conn: Connection, say: Callable[[str], None], what: str) -> float:
    changes = _backlog(place)
    conn.execute("CHECKPOINT")
    started = time.perf_counter()
    ferry(place, "sync", f"public.{SOURCE}", "--until-empty")
    took = time.perf_counter() - started
    say(f"  {what}: {changes:,} changes in {took:.2f} s, {changes / took:,.0f} a second")
    return round(changes / took)
