"""A table with a rollout, and a benchmark of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hyperferry import engine
from hyperferry.benchmark import BenchOptions, Report, bench
from hyperferry.benchmark.options import Outcome
from hyperferry.model.plan_options import PlanOptions
from servers import Database

TABLE = """
CREATE TABLE player_stats (
    id bigserial PRIMARY KEY, player_id integer NOT NULL, stat_type text NOT NULL, value numeric NOT NULL, game_date timestamptz NOT NULL
);
INSERT INTO player_stats (player_id, stat_type, value, game_date)
SELECT i % 50, 'stat ' || i % 5, i % 90, timestamptz '2024-01-06 15:00+00' + i * interval '20 minutes' FROM generate_series(1, 3000) AS i;
CREATE INDEX player_stats_game_date_idx ON player_stats (game_date DESC);
CREATE INDEX player_stats_player_idx ON player_stats (player_id, stat_type);
ANALYZE player_stats;
"""
"""Rows of 42 days."""

Measure = Callable[..., Report]
MANY = "12 hours"
"""A chunk interval that makes 84 chunks of these rows."""


def make(db: Database, table: str = "player_stats", time: str = "game_date", interval: str = MANY) -> None:
    """Runs a rollout until it is synced."""
    plan = engine.make_plan(db.dsn, table, time, PlanOptions(chunk_interval=interval))
    engine.start(db.dsn, None, plan)


def measure(db: Database, queries: str | None, table: str = "player_stats", **more: Any) -> Report:
    """A short benchmark."""
    more = {"runs": 4, "draws": 2, **more}
    return bench(BenchOptions(db.dsn, table, queries=None if queries is None else (queries, "q.sql"), **more))


def of(report: Report, name: str) -> Outcome:
    """The outcome of a query."""
    return next(outcome for outcome in report.outcomes if outcome.query.name == name)


def reasons(report: Report) -> dict[str, str]:
    """Why queries were left out, by name."""
    return {each.name: each.reason for each in report.left_out}


@pytest.fixture
def stats(db: Database) -> Database:
    """A database with the table."""
    db.execute(TABLE)
    return db


@pytest.fixture
def synced(stats: Database) -> Database:
    """The same with a rollout of 84 chunks that is synced."""
    make(stats)
    return stats
