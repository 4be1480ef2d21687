"""What advice is judged by on a real server: samples, statistics, statements, counters, the change log; odd names, few rights."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from hyperferry.advising import AdviseOptions, advise
from hyperferry.cli.render.advise_page import page
from hyperferry.errors import Refused, Usage
from hyperferry.model.advice import Advice
from kit.tables import LONG, SEASONS, real_player_stats
from servers import SO_OFTEN, Database

from .made import numbers, one, said

WEIRD = '"my.schema"."Weird ""Näme"'
DAY = 86_400


def ask(db: Database, table: str = "t", time: str | None = "ts", *, role: str | None = None, **options: Any) -> Advice:
    return advise(AdviseOptions(db.dsn_as(role), table, time, **options))


def plain(db: Database, rows: int = 3_000, *, more: str = "", every: str = "5 minutes", options: str = "") -> None:
    """t (id, player_id, value, ts): a row each five minutes, of ten players."""
    db.execute(f"CREATE TABLE t (id bigserial PRIMARY KEY, player_id int, value float8, ts timestamptz NOT NULL{more}) {options}")
    db.execute(
        f"INSERT INTO t (player_id, value, ts) SELECT i % 10, i, timestamptz '2026-01-01 00:00+00' + i * interval '{every}' "
        f"FROM generate_series(0, {rows - 1}) AS i"
    )
    db.execute("CREATE INDEX t_ts ON t (ts); ANALYZE t")


def test_a_large_table_is_sampled_and_always_alike(db: Database) -> None:
    """Eighty of some two hundred pages, over 45 weeks: what they say is about what all say, the weeks that they miss among it."""
    plain(db, 30_000, every="15 minutes", options="WITH (autovacuum_enabled = off)")
    ((pages,),) = db.execute("SELECT pg_relation_size('t') / 8192")
    first, second, whole = ask(db, pages=80), ask(db, pages=80), ask(db, exact=True)
    assert first == second
    assert f"of {pages:,} pages" in first.read[0]
    assert first.read[0].startswith("a sample of about 80")
    assert whole.read[0] == f"every row of {pages} pages (30,000 rows)"
    assert sum(bar.rows for bar in first.bars) == pytest.approx(30_000)
    assert numbers(one(first, "chunk-interval"))["interval"] == numbers(one(whole, "chunk-interval"))["interval"]
    assert numbers(one(first, "chunk-interval"))["rows_per_chunk"] == pytest.approx(
        numbers(one(whole, "chunk-interval"))["rows_per_chunk"], rel=0.2
    )


def test_stray_rows_are_found_through_the_index_whatever_is_sampled(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from hyperferry.catalog import by_index

    plain(db, 30_000)
    db.execute("INSERT INTO t (ts) VALUES ('2999-01-01'); ANALYZE t")
    monkeypatch.setattr(by_index, "ROWS", 1_000)
    (caution,) = ask(db, pages=20).cautions
    assert caution.message.startswith("about 1 rows lie far from the rest in ts (2999-01-01")
    db.execute("DROP INDEX t_ts")
    advice = ask(db, pages=20)
    assert any("a few stray rows may be unseen" in line for line in advice.read)


def test_nothing_is_waited_for(db: Database) -> None:
    """A migration holds the table: advice gives up in seconds, with the name of who is in the way."""
    from hyperferry.errors import LockUnavailable

    plain(db, 100)
    with db.connect() as other, other.transaction():
        other.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(LockUnavailable, match="blocker 1"):
            ask(db)


def test_odd_names(db: Database) -> None:
    db.execute(f'CREATE SCHEMA "my.schema"; CREATE TABLE {WEIRD} ("{LONG}" bigserial PRIMARY KEY, "Play er" int, "x"" %s {{ts}}" timestamptz NOT NULL)')
    db.execute(
        f'INSERT INTO {WEIRD} ("Play er", "x"" %s {{ts}}") SELECT i % 3, timestamptz \'2026-01-01 00:00+00\' + i * interval \'10 minutes\' '
        "FROM generate_series(0, 2999) AS i"
    )
    db.execute(f'CREATE INDEX "odd ""i" ON {WEIRD} ("Play er", "x"" %s {{ts}}"); CREATE INDEX "{LONG[:-3]}" ON {WEIRD} ("Play er")')
    db.execute(f"ANALYZE {WEIRD}")
    advice = ask(db, WEIRD, 'x" %s {ts}')
    made = tomllib.loads(advice.toml)
    assert (made["table"], made["time_column"]) == (WEIRD, 'x" %s {ts}')
    assert f'"{LONG}"' in one(advice, "segment-by").toml.replace('\\"', '"')
    assert numbers(one(advice, "segment-by"))["segment_by"] == ["Play er"]
    db.execute(one(advice, "superfluous-index").action)
    assert said(ask(db, WEIRD, 'x" %s {ts}'), "superfluous-index") == []
    assert "Weird &quot;&quot;Näme" in page(advice)


def test_the_owner_need_not_be_a_superuser(db: Database) -> None:
    plain(db, 500)
    owner, stranger = db.make_role("owner"), db.make_role("stranger")
    db.execute(f'ALTER TABLE t OWNER TO "{owner}"; ALTER TABLE t ADD created_at timestamptz DEFAULT now()')
    assert ask(db, role=owner).recommendations == ask(db).recommendations
    with pytest.raises(Refused, match="may not read"):
        ask(db, role=stranger)
    db.execute(f'GRANT SELECT ON t TO "{stranger}"')
    assert numbers(one(ask(db, role=stranger), "chunk-interval")) == numbers(one(ask(db), "chunk-interval"))
    db.execute("ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    with pytest.raises(Refused, match="row security"):
        ask(db, role=stranger)


def test_the_owner_of_a_hypertable_reads_its_chunks(db: Database) -> None:
    plain(db, 3_000)
    owner = db.make_role("owner")
    db.execute(f'ALTER TABLE t OWNER TO "{owner}"; ALTER TABLE t DROP CONSTRAINT t_pkey')
    db.execute("SELECT create_hypertable('t', 'ts', migrate_data => true); ANALYZE t")
    advice = ask(db, role=owner)
    ((chunks,),) = db.execute("SELECT count(*) FROM show_chunks('t')")
    assert numbers(one(advice, "chunk-interval"))["chunks_now"] == chunks
    with pytest.raises(Usage, match="is cut by ts"):
        ask(db, time="id")
    ((chunk,),) = db.execute("SELECT show_chunks('t')::text LIMIT 1")
    with pytest.raises(Usage, match="is a chunk"):
        ask(db, chunk)
    assert ask(db, time=None).time_column == "ts"


def test_an_empty_table(db: Database) -> None:
    db.execute("CREATE TABLE t (id bigint, ts timestamptz)")
    advice = ask(db)
    assert one(advice, "chunk-interval").toml == 'chunk_interval = "7 days"'
    assert advice.bars == ()
    assert "No row with a time was seen" in page(advice)
    db.execute("INSERT INTO t VALUES (1, NULL), (2, 'infinity')")
    assert ask(db).bars == ()


def test_when_rows_came_and_were_changed_by_columns_that_say_so(db: Database) -> None:
    """Each row came two hours after its time; one in ten was changed three days later, and one of them 20 days later. The first two
    hours do not count: their rows are older than the first arrival."""
    plain(db, 2_000, more=", created_at timestamptz, updated_at timestamptz")
    db.execute("UPDATE t SET created_at = ts + interval '2 hours', updated_at = ts + interval '2 hours'")
    db.execute("UPDATE t SET updated_at = ts + interval '3 days' WHERE id % 10 = 0")
    db.execute("UPDATE t SET updated_at = ts + interval '20 days' WHERE id = 1990")
    advice = ask(db)
    facts = dict(advice.facts)
    assert "by the column created_at, 1,976 rows: half of the rows come within 2 hours" in facts["late rows"]
    assert "by the column updated_at, 198 rows: half of the changes come within 3 days" in facts["late updates"]
    assert "the last after 20 days" in facts["late updates"]
    assert numbers(one(advice, "compress-after"))["update_seconds"] == 20 * DAY
    assert one(advice, "updates-within").toml == 'updates_within = "30 days"'
    assert ask(db, arrived="updated_at") != advice


def test_what_was_loaded_at_once_says_nothing_of_how_rows_come(db: Database) -> None:
    """A year of history, all of it created today, in the order of its time: the order is believed, the column is not."""
    plain(db, 2_000, more=", created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now()")
    advice = ask(db)
    assert "by the order in which the rows lie on disk" in dict(advice.facts)["late rows"]
    assert numbers(one(advice, "compress-after"))["after_seconds"] == 7 * DAY


def test_what_the_counters_and_the_change_log_say(db: Database, tmp_path: Any) -> None:
    """An open rollout sees updates at what age they are made."""
    from hyperferry import engine
    from hyperferry.model.plan_options import PlanOptions

    plain(db, 1_000)
    plan = engine.make_plan(db.dsn, "t", "ts", PlanOptions())
    engine.start(db.dsn, None, plan)
    db.execute("UPDATE t SET value = 0 WHERE id <= 3; INSERT INTO t (ts) VALUES ('2026-01-20')")
    ((age,),) = db.execute("SELECT extract(epoch FROM now() - min(ts)) FROM t")
    advice = ask(db)
    assert "the change log of the open rollout, as of now, 3 rows" in dict(advice.facts)["late updates"]
    assert float(str(numbers(one(advice, "compress-after"))["update_seconds"])) == pytest.approx(float(age), abs=7_200)


def test_statements_are_what_columns_are_asked_by(db: Database) -> None:
    plain(db, 3_000)
    db.execute("CREATE EXTENSION pg_stat_statements")
    with db.connect() as app:
        for number in range(SO_OFTEN):
            app.execute(f"SELECT value FROM t WHERE player_id = {number % 10} AND ts > '2026-01-05'")
            app.execute("DELETE FROM t WHERE ts < timestamptz '2020-01-01'")
    advice = ask(db)
    assert "of pg_stat_statements" in dict(advice.facts)["statements"]
    assert numbers(one(advice, "segment-by"))["segment_by"] == ["player_id"]
    assert numbers(one(advice, "retention"))["deletes_by_time"] == SO_OFTEN
    ((columns, include),) = [(numbers(each)["columns"], numbers(each)["include"]) for each in said(advice, "worthwhile-index")]
    assert (columns, include) == (["player_id", "ts"], ["value"])


def test_a_view_and_a_file_speak_too(db: Database) -> None:
    plain(db, 3_000)
    db.execute("CREATE VIEW daily AS SELECT date_trunc('day', ts) AS day, sum(value) AS total FROM t GROUP BY 1")
    text = "-- name: by week\nSELECT time_bucket('7 days', ts), max(value) FROM t WHERE player_id = $1 GROUP BY 1;"
    advice = ask(db, queries=(text, "queries.sql"))
    found = {numbers(each)["bucket"]: each for each in said(advice, "continuous-aggregate")}
    assert set(found) == {"1 day", "7 days"}
    assert "view public.daily" in found["1 day"].reason[0]
    assert numbers(found["1 day"])["times_fewer"] == pytest.approx(3_000 / 11, abs=0.1)  # 10.4 days
    assert "file queries.sql, by week" in found["7 days"].reason[0]
    assert numbers(found["7 days"])["columns"] == ["player_id"]


def test_the_advised_index_serves_the_query_and_the_aggregate_its_own(db: Database) -> None:
    """What is advised is SQL that the server takes."""
    plain(db, 3_000)
    text = "SELECT value FROM t WHERE player_id = $1 AND ts > $2; SELECT time_bucket('1 day', ts) AS d, sum(value) FROM t GROUP BY d;"
    advice = ask(db, queries=(text, "queries.sql"))
    index = tomllib.loads(one(advice, "worthwhile-index").toml)["index"][0]
    db.execute(f"CREATE INDEX {index['name']} ON t ({', '.join(index['columns'])}) INCLUDE ({', '.join(index['include'])})")
    assert said(ask(db, queries=(text, "queries.sql")), "worthwhile-index") == []
    query = tomllib.loads(one(advice, "continuous-aggregate").toml)["continuous_aggregate"][0]["query"]
    days = db.execute("SELECT date_trunc('day', ts, 'UTC'), sum(value) FROM t GROUP BY 1 ORDER BY 1")
    assert sorted(db.execute(query)) == days


@pytest.mark.parametrize(
    ("query", "again"),
    [
        ("SELECT time_bucket('1 day', ts) AS d, sum(value) FROM t WHERE player_id <> 3 GROUP BY 1", "WHERE player_id <> 3"),
        ("SELECT time_bucket('1 day', ts) AS d, sum(value) FROM t WHERE player_id NOT IN (1, 2) OR ts < '2026-01-03 00:00+00' GROUP BY 1",
         "WHERE player_id NOT IN (1, 2) OR bucket < '2026-01-03 00:00+00'"),
        ("SELECT time_bucket('1 day', ts, 'Europe/Berlin') AS d, sum(value) FROM t GROUP BY 1", ""),
        ("SELECT date_trunc('day', ts, 'Asia/Kolkata') AS d, sum(value) FROM t GROUP BY 1", ""),
        ("SELECT time_bucket('1 day', ts, interval '6 hours') AS d, sum(value) FROM t GROUP BY 1", ""),
        ("SELECT date_bin('3 days', ts, '2026-01-02 05:00+00') AS d, sum(value) FROM t GROUP BY 1", ""),
    ],
)  # fmt: skip
def test_the_advised_aggregate_has_what_the_query_asks_for(db: Database, query: str, again: str) -> None:
    """The query's own rows come out of it, summed over what else it is grouped by."""
    plain(db, 3_000)
    advice = ask(db, queries=(f"{query};", "queries.sql"))
    made = tomllib.loads(one(advice, "continuous-aggregate").toml)["continuous_aggregate"][0]["query"]
    found = db.execute(f"SELECT bucket, sum(sum_value) FROM ({made}) AS kept {again} GROUP BY 1 ORDER BY 1")
    assert found == db.execute(f"{query} ORDER BY 1")


@pytest.mark.slow
def test_a_real_season(db: Database) -> None:
    """560,395 rows of a season from September to May: a chunk for each week that has games."""
    with db.connect() as conn:
        if real_player_stats(conn, seasons=SEASONS[:1]) is None:
            pytest.skip("the real data is not here")
        conn.execute("ANALYZE")
    advice = ask(db, "player_stats", "game_date")
    ((weeks, low, high, rows),) = db.execute(
        "SELECT count(DISTINCT floor(extract(epoch FROM game_date) / 604800)), min(game_date AT TIME ZONE 'UTC')::date::text, "
        "max(game_date AT TIME ZONE 'UTC')::date::text, count(*) FROM player_stats"
    )
    found = numbers(one(advice, "chunk-interval"))
    assert (found["interval"], found["chunks_now"]) == ("7 days", weeks)
    assert low in dict(advice.facts)["time"]
    assert high in dict(advice.facts)["time"]
    assert sum(bar.rows for bar in advice.bars) == pytest.approx(rows, rel=0.01)


@pytest.fixture
def compressed(community_db: Database) -> Database:
    """t as a hypertable of the Community edition, all chunks but the newest compressed."""
    plain(community_db, 6_000)
    community_db.execute("ALTER TABLE t DROP CONSTRAINT t_pkey")
    community_db.execute("SELECT create_hypertable('t', 'ts', migrate_data => true); ANALYZE t")
    community_db.execute("ALTER TABLE t SET (timescaledb.compress, timescaledb.compress_segmentby = 'player_id')")
    community_db.execute("SELECT compress_chunk(c) FROM show_chunks('t', older_than => timestamptz '2026-01-15') AS c")
    return community_db


def test_compressed_chunks_count_by_their_statistics(compressed: Database) -> None:
    advice = ask(compressed)
    ((whole, packed),) = compressed.execute("SELECT count(*), count(*) FILTER (WHERE is_compressed) FROM timescaledb_information.chunks")
    assert 0 < packed < whole
    assert dict(advice.facts)["chunks"] == f"{whole} of 7 days, {packed} of them compressed"
    assert sum(bar.rows for bar in advice.bars) == pytest.approx(6_000, rel=0.1)
    assert all(each.unavailable is None for each in advice.recommendations)
    assert "compression" in tomllib.loads(advice.toml)


def test_where_every_chunk_is_compressed_the_catalogs_speak(compressed: Database) -> None:
    compressed.execute("SELECT compress_chunk(c, if_not_compressed => true) FROM show_chunks('t') AS c; ANALYZE t")
    advice = ask(compressed)
    ((chunks,),) = compressed.execute("SELECT count(*) FROM show_chunks('t')")
    assert numbers(one(advice, "chunk-interval"))["chunks_now"] == chunks
    assert sum(bar.rows for bar in advice.bars) == pytest.approx(6_000, rel=0.1)


def test_what_is_advised_can_be_done_on_the_community_edition(community_db: Database) -> None:
    """Segments, order, policy and aggregate, in SQL as the file means them."""
    db = community_db
    plain(db, 6_000)
    text = "SELECT value FROM t WHERE player_id = $1 AND ts > $2; SELECT time_bucket('1 day', ts) AS d, player_id, sum(value) FROM t GROUP BY d, player_id;"
    db.execute("ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (id, ts)")
    db.execute("SELECT create_hypertable('t', 'ts', migrate_data => true); ANALYZE t")
    made = tomllib.loads(ask(db, queries=(text, "queries.sql")).toml)
    packing = made["compression"]
    # 2,016 rows a week, 202 of a player.
    assert packing["segment_by"] == ["player_id"]
    assert packing["order_by"] == ["ts DESC", "id"]
    db.execute(
        f"ALTER TABLE t SET (timescaledb.compress, timescaledb.compress_segmentby = '{', '.join(packing['segment_by'])}', "
        f"timescaledb.compress_orderby = '{', '.join(packing['order_by'])}')"
    )
    db.execute(f"SELECT add_compression_policy('t', interval '{packing['after']}')")
    (aggregate,) = made["continuous_aggregate"]
    db.execute(f"CREATE MATERIALIZED VIEW {aggregate['name']} WITH (timescaledb.continuous) AS {aggregate['query']} WITH NO DATA")
    refresh = aggregate["refresh"]
    db.execute(
        f"SELECT add_continuous_aggregate_policy('{aggregate['name']}', start_offset => interval '{refresh['start_offset']}', "
        f"end_offset => interval '{refresh['end_offset']}', schedule_interval => interval '{refresh['schedule']}')"
    )


@pytest.mark.parametrize(
    "bucket",
    [
        "time_bucket('1 day', ts, 'Europe/Berlin')",
        "date_trunc('day', ts, 'Europe/Berlin')",
        "time_bucket('1 day', ts, interval '6 hours')",
        "date_bin('3 days', ts, '2026-01-02 05:00+00')",
    ],
)
def test_an_aggregate_takes_where_its_buckets_begin(community_db: Database, bucket: str) -> None:
    db = community_db
    plain(db, 3_000)
    ((ready,),) = db.execute("SELECT split_part(extversion, '.', 2)::int >= 15 FROM pg_extension WHERE extname = 'timescaledb'")
    if not ready and "Europe" not in bucket:
        pytest.skip("before TimescaleDB 2.15 an aggregate takes no origin and no offset")
    db.execute("ALTER TABLE t DROP CONSTRAINT t_pkey; SELECT create_hypertable('t', 'ts', migrate_data => true); ANALYZE t")
    advice = ask(db, queries=(f"SELECT {bucket}, player_id, sum(value) FROM t GROUP BY 1, 2;", "queries.sql"))
    (aggregate,) = tomllib.loads(advice.toml)["continuous_aggregate"]
    db.execute(f"CREATE MATERIALIZED VIEW {aggregate['name']} WITH (timescaledb.continuous) AS {aggregate['query']} WITH NO DATA")
