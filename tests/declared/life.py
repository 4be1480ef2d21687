"""Hypertables to declare things of, and what a database has of them, to be compared."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg

from hyperferry.declared.parse import parse_declared
from hyperferry.model.declared import Declared
from hyperferry.model.difference import Difference
from hyperferry.reconcile import Allowed, Report, apply, inspect
from servers import Database

TABLE = """
CREATE TABLE player_stats (
    id bigserial,
    player_id integer NOT NULL,
    stat_type text NOT NULL,
    value numeric NOT NULL,
    game_date timestamptz NOT NULL,
    PRIMARY KEY (id, game_date)
);
SELECT create_hypertable('player_stats', 'game_date', chunk_time_interval => interval '7 days', create_default_indexes => false);
INSERT INTO player_stats (player_id, stat_type, value, game_date)
SELECT i % 7, 'stat ' || i % 5, i % 90, date_trunc('day', now()) - interval '49 days' + i * interval '2 hours'
FROM generate_series(1, 560) AS i;
"""

WHOLE = """
chunk_interval = "14 days"
[compression]
segment_by = ["player_id"]
order_by = ["game_date DESC", "id"]
after = "40 days"
schedule = "12 hours"
[retention]
after = "2 years"
[reorder]
index = "player_stats_player_idx"
[[index]]
name = "player_stats_player_idx"
columns = ["player_id", "game_date DESC"]
[[index]]
name = "player_stats_value_idx"
columns = ["lower(stat_type)"]
include = ["value"]
where = "value > 0"
[[continuous_aggregate]]
name = "player_weekly"
query = "SELECT time_bucket('7 days', day) AS week, player_id, sum(total) AS total FROM player_daily GROUP BY 1, 2"
[[continuous_aggregate]]
name = "player_daily"
query = "SELECT time_bucket('1 day', game_date) AS day, player_id, sum(value) AS total FROM player_stats GROUP BY 1, 2"
materialized_only = true
refresh = { start_offset = "30 days", end_offset = "1 hour", schedule = "1 hour" }
index = [ { columns = ["total"], name = "player_daily_total_idx" } ]
compression = { after = "60 days" }
retention = { after = "5 years" }
"""


def owned(db: Database, table: str = TABLE) -> str:
    """A role that is no superuser and owns the table; its connection string."""
    role = db.make_role("owner")
    db.execute(f'GRANT ALL ON SCHEMA public TO "{role}"')
    with db.connect(role) as conn:
        conn.execute(table)
    return db.dsn_as(role)


def wish(text: str) -> Declared:
    """What a file with that text wants."""
    values = tomllib.loads(text)
    given = {name: values.get(name) for name in ("chunk_interval", "time_column")}
    return replace(parse_declared(values, "hyperferry.toml"), **given)


def difference(dsn: str, text: str, table: str = "player_stats", *prune: str) -> Difference:
    """`hyperferry diff`."""
    return inspect(dsn, table, wish(text), prune=frozenset(prune)).difference


def applied(
    dsn: str,
    text: str,
    table: str = "player_stats",
    *prune: str,
    say: Callable[[str], None] = lambda text: None,
    **options: Any,
) -> Report:
    """`hyperferry apply`."""
    allowed = Allowed(
        options.pop("confirm", None),
        frozenset(options.pop("aggregates", ())),
        accept=frozenset(options.pop("accept", ())),
    )
    return apply(dsn, table, wish(text), prune=frozenset(prune), allowed=allowed, say=say, **options)


def keys(found: Difference) -> list[str]:
    """The steps by their keys."""
    return [step.key for step in found.steps]


def rules(found: Difference) -> set[str]:
    """The rules that refuse something."""
    return {each.rule for each in found.refusals}


def catalog(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    """What the database has, without the numbers that TimescaleDB gives out one after the other."""
    queries = {
        "dimensions": "SELECT hypertable_name, column_name, time_interval, integer_interval FROM timescaledb_information.dimensions "
        "WHERE hypertable_schema = 'public'",
        "jobs": "SELECT proc_name, schedule_interval::text, config - 'hypertable_id' - 'mat_hypertable_id', scheduled, "
        "(SELECT a.view_name FROM timescaledb_information.continuous_aggregates a "
        " WHERE j.hypertable_name IN (a.view_name, a.materialization_hypertable_name)) FROM timescaledb_information.jobs j "
        "WHERE hypertable_name IS NOT NULL",
        "compression": "SELECT attname, segmentby_column_index, orderby_column_index, orderby_asc, orderby_nullsfirst, "
        "COALESCE(a.view_name, s.hypertable_name) FROM timescaledb_information.compression_settings s "
        "LEFT JOIN timescaledb_information.continuous_aggregates a ON s.hypertable_name = a.materialization_hypertable_name",
        "aggregates": "SELECT view_name, materialized_only, view_owner, compression_enabled, regexp_replace(view_definition, '\\s+', ' ', 'g') "
        "FROM timescaledb_information.continuous_aggregates",
        "indexes": "SELECT regexp_replace(pg_get_indexdef(indexrelid), '_hypertable_\\d+', '_hypertable', 'g'), indisvalid FROM pg_index "
        "WHERE indrelid = 'player_stats'::regclass OR indrelid IN (SELECT "
        "format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass "
        "FROM timescaledb_information.continuous_aggregates)",
        "chunk indexes": "SELECT count(*), bool_and(indisvalid) FROM pg_index WHERE indrelid IN "
        "(SELECT inhrelid FROM pg_inherits WHERE inhparent = 'player_stats'::regclass)",
    }
    return {name: sorted(db.execute(query), key=str) for name, query in queries.items()}


def run_job(db: Database, job: int) -> None:
    """Runs a policy now. Its own first run, in the background, may be in the way: then once more."""
    for attempt in range(10):
        try:
            db.execute(f"CALL run_job({job})")
            return
        except psycopg.Error:
            if attempt == 9:
                raise
            time.sleep(1)
