"""Distributions made by hand, for rules that need no server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hyperferry.advice import advise, case_of
from hyperferry.model.advice import Advice, Recommendation
from hyperferry.model.axis import Axis
from hyperferry.model.distribution import (
    ColumnSpread,
    Distribution,
    IndexUse,
    Lag,
    PerInterval,
    Spread,
    StatementUse,
)
from hyperferry.model.inspection import Inspection
from planner.made_inspections import MB, PRIMARY, column, inspection

DAY = 86_400.0
START = 19_700 * DAY  # 2023-12-09
NOW = START + 365 * DAY

COLUMNS = (
    column("id"),
    column("ts", "timestamp with time zone"),
    column("player_id", "integer"),
    column("stat_type", "text"),
    column("value", "numeric"),
    column("note", "text", not_null=False),
)


def table(*, indexes: tuple[Any, ...] = (), index_bytes: int = 100 * MB, kind: str = "table", **changes: Any) -> Inspection:
    """`public.t` (id, ts, player_id, stat_type, value, note) with its primary key."""
    made = inspection(*COLUMNS, keys=(PRIMARY,), indexes=indexes, index_bytes=index_bytes, **changes)
    return replace(made, table=replace(made.table, kind=kind))


def spread(days: int = 365, rows: float = 1_000_000, *, start: float = START, filled: Any = None) -> Spread:
    """Even days; `filled`: rows by day instead."""
    by_day = filled if filled is not None else dict.fromkeys(range(days), rows / days)
    bars = tuple((round(start / DAY) + day, n) for day, n in sorted(by_day.items()) if n)
    low, high = start + min(by_day) * DAY, start + (max(by_day) + 1) * DAY - 1
    return Spread(DAY, bars, low, high, low, high, exact=True)


def values(name: str, distinct: float, *, top: float | None = None, nulls: float = 0.0, width: int = 4, true: float | None = None) -> ColumnSpread:
    return ColumnSpread(name, distinct, nulls, top, width, "pg_stats", true)


def use(text: str, calls: int | None = 100, total_ms: float | None = None, source: str = "pg_stat_statements") -> StatementUse:
    return StatementUse(text, calls, total_ms, source)


def lag(source: str = "the column c", *, p99: float = 60.0, p999: float = 3600.0, largest: float = 7200.0) -> Lag:
    return Lag(source, 1000, 0.1, 1.0, 10.0, p99, p999, largest)


def distribution(made: Inspection | None = None, **changes: Any) -> Distribution:
    """A million even rows in a year, unless the changes say otherwise."""
    made = made or table()
    start = Distribution(
        inspection=made,
        axis=Axis(),
        now=NOW,
        rows=1_000_000.0,
        spread=spread(),
        indexes=tuple(IndexUse(each.name, each.bytes, 0) for each in made.indexes),
        columns=(
            values("id", 1_000_000, width=8),
            values("player_id", 50),
            values("stat_type", 5, width=8),
            values("value", 100_000, width=8),
            values("note", 10, nulls=0.9, width=20),
        ),
    )
    return replace(start, **changes)


def per(column_name: str, rows: float, distinct: float) -> PerInterval:
    return PerInterval(column_name, 7 * DAY, rows, distinct, 5)


def advice_on(d: Distribution, given: str | None = None) -> Advice:
    return advise(case_of(d, given=given))


def said(advice: Advice, rule: str) -> list[Recommendation]:
    return [each for each in advice.recommendations if each.rule == rule]


def one(advice: Advice, rule: str) -> Recommendation:
    (found,) = said(advice, rule)
    return found


def numbers(recommendation: Recommendation) -> dict[str, Any]:
    return dict(recommendation.numbers)
