"""Two seasons of the Premier League: an index, aggregates, and the raw rows beside them."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator

import pytest

from hyperferry.db import connect
from hyperferry.db.connection import Connection
from hyperferry.model.declared import DeclaredIndex
from hyperferry.model.names import TableName
from hyperferry.model.upkeep import Window
from hyperferry.upkeep.aggregates import refresh
from hyperferry.upkeep.checking import check
from hyperferry.upkeep.indexes import build
from kit.tables import DATA, SEASONS
from servers import Database

STATS = TableName("public", "player_stats")
DAILY = (
    "SELECT time_bucket('1 day', game_date) AS day, player_id, stat_type, sum(value) AS total, count(*) AS n "
    "FROM player_stats GROUP BY 1, 2, 3"
)
MONTHLY = (
    "SELECT time_bucket('1 month', game_date, 'Europe/London') AS month, stat_type, avg(value::float8) AS mean "
    "FROM player_stats GROUP BY 1, 2"
)


def quiet(message: str) -> None:
    """Says nothing."""


def nothing() -> None:
    """Never stops."""


@pytest.fixture
def stats(community_db: Database) -> Iterator[Connection]:
    if not DATA.exists():
        pytest.skip("the real data is not beside the repository")
    owner = community_db.make_role("owner")
    community_db.execute(f'GRANT CREATE ON SCHEMA public TO "{owner}"')
    with community_db.connect(owner) as app:
        app.execute(
            "CREATE TABLE player_stats (player_id int, game_id int, stat_type text, value numeric, game_date timestamptz NOT NULL)"
        )
        app.execute("SELECT create_hypertable('player_stats', 'game_date', chunk_time_interval => interval '30 days')")
        with (
            gzip.open(DATA / SEASONS[0], "rb") as rows,
            app.cursor().copy("COPY player_stats (player_id, game_id, stat_type, value, game_date) FROM STDIN (FORMAT csv, HEADER)") as copy,
        ):
            shutil.copyfileobj(rows, copy)  # type: ignore[misc]
        for name, query in (("daily", DAILY), ("monthly", MONTHLY)):
            app.execute(
                f"CREATE MATERIALIZED VIEW {name} WITH (timescaledb.continuous, timescaledb.materialized_only) AS {query} WITH NO DATA"
            )
    with connect(community_db.dsn_as(owner)) as conn:
        yield conn


@pytest.mark.slow
def test_a_season_of_the_league(stats: Connection, community_db: Database) -> None:
    for name in ("daily", "monthly"):
        refresh(stats, TableName("public", name), Window(), say=quiet, should_stop=nothing)
    assert community_db.execute("SELECT sum(total), sum(n) FROM daily") == community_db.execute("SELECT sum(value), count(*) FROM player_stats")
    assert community_db.execute(f"SELECT count(*) FROM ((TABLE daily EXCEPT ALL {DAILY}) UNION ALL ({DAILY} EXCEPT ALL TABLE daily)) d") == [(0,)]
    found = check(stats, STATS, every=True, say=quiet, should_stop=nothing)
    assert found.match
    assert [each.different for each in found.aggregates] == [(), ()]
    assert all(each.checked > 8 for each in found.aggregates)
    index = DeclaredIndex("goals", ("player_id", "game_date DESC"), ("value",), "stat_type = 'goals_scored' AND value > 0")
    build(stats, STATS, index, say=quiet, should_stop=nothing)
    assert community_db.execute(
        "SELECT bool_and(indisvalid), count(*) FROM pg_index WHERE indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = "
        "'player_stats'::regclass) AND pg_get_indexdef(indexrelid) LIKE '%goals%'"
    ) == [(True, community_db.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'player_stats'::regclass")[0][0])]
