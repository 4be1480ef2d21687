"""What is declared does what it says: rows that are dropped, rows that are compressed, what is changed, what is refused. On the Community
edition."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from psycopg import sql

from hyperferry.cli.render.difference import difference_json, difference_lines
from hyperferry.errors import Failed, Refused, Usage
from hyperferry.model.throttle import limits_of
from hyperferry.reconcile import inspect
from hyperferry.throttle import Sampler
from kit import oracle, tables
from servers import Database

from .life import applied, difference, keys, owned, rules, run_job, wish

pytestmark = [pytest.mark.community, pytest.mark.timeout(900)]

DAILY = """
[[continuous_aggregate]]
name = "player_daily"
query = "SELECT time_bucket('1 day', game_date) AS day, player_id, sum(value) AS total FROM player_stats GROUP BY 1, 2"
"""

AWKWARD = r'''
[compression]
segment_by = ['"LONG"']
order_by = ['"TIME" DESC']
after = "30 days"
[[index]]
name = '"the %s ""index"" {0}"'
columns = ['"LONG"', '"TIME" DESC']
[[continuous_aggregate]]
name = '"my.schema"."dai ""ly"" % {}"'
query = """SELECT time_bucket('1 day', "TIME") AS "da y", count(*) AS "%n" FROM "my.schema"."Weird ""Näme""\" GROUP BY 1"""
refresh = { start_offset = "30 days", end_offset = "1 day", schedule = "1 day" }
compression = { after = "60 days" }
'''


def test_retention_drops_exactly_what_was_said(community_db: Database) -> None:
    dsn = owned(community_db)
    text = "[retention]\nafter = '20 days'"
    [step] = difference(dsn, text).steps
    assert step.confirm is not None
    said = step.confirm.drops
    assert said is not None
    assert said.exact
    before = community_db.execute("SELECT count(*) FROM player_stats")[0][0]
    with pytest.raises(Refused, match="not confirmed") as caught:
        applied(dsn, text)
    assert f"--confirm-drop {len(said.chunks)}" in str(caught.value)
    with pytest.raises(Refused, match="not confirmed"):
        applied(dsn, text, confirm=len(said.chunks) - 1)
    assert community_db.execute("SELECT count(*) FROM player_stats")[0][0] == before
    chunks = {row[0] for row in community_db.execute("SELECT show_chunks('player_stats')::text")}
    applied(dsn, text, confirm=len(said.chunks))
    [(job,)] = community_db.execute(
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'"
    )
    run_job(community_db, job)
    left = {row[0] for row in community_db.execute("SELECT show_chunks('player_stats')::text")}
    assert chunks - left == {str(each) for each in said.chunks}
    assert before - community_db.execute("SELECT count(*) FROM player_stats")[0][0] == said.rows > 0
    assert difference(dsn, text).empty


JOBS = "SELECT job_id, scheduled FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY 1"
PAUSE = "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000"


def test_paused_policies_run_again_and_retention_only_with_a_word(community_db: Database) -> None:
    """It drops at once what has become old meanwhile."""
    dsn = owned(community_db)
    text = "[retention]\nafter = '20 days'\n[compression]\nafter = '10 days'\n"
    [drops] = [step.confirm.drops for step in difference(dsn, text).steps if step.confirm is not None]
    assert drops is not None
    applied(dsn, text, confirm=len(drops.chunks))
    [(retention,)] = community_db.execute(
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'"
    )
    run_job(community_db, retention)
    assert difference(dsn, text).empty
    before = community_db.execute(JOBS)
    community_db.execute(PAUSE)
    found = difference(dsn, text)
    assert keys(found) == ["compression-policy", "retention-policy"]
    assert all("scheduled => true" in step.texts[0] for step in found.steps)
    community_db.execute(
        "INSERT INTO player_stats (player_id, stat_type, value, game_date) SELECT 1, 's', 1, now() - interval '40 days'"
    )
    with pytest.raises(Refused, match="not confirmed") as caught:
        applied(dsn, text)
    assert "--confirm-drop 1" in str(caught.value)
    assert keys(difference(dsn, text)) == keys(found)
    assert [step.key for step in applied(dsn, text, confirm=1).done] == keys(found)
    assert difference(dsn, text).empty
    assert community_db.execute(JOBS) == before


def test_a_paused_refresh_runs_again(community_db: Database) -> None:
    dsn = owned(community_db)
    text = DAILY + "refresh = { start_offset = '10 days', end_offset = '1 hour', schedule = '1 hour' }"
    applied(dsn, text)
    before = community_db.execute(JOBS)
    community_db.execute(PAUSE)
    assert [step.key for step in applied(dsn, text).done] == ["refresh-policy:public.player_daily"]
    assert difference(dsn, text).empty
    assert community_db.execute(JOBS) == before


def test_rows_are_the_same_before_and_after_compression(community_db: Database) -> None:
    dsn = owned(community_db)
    community_db.execute("CREATE TABLE plain AS SELECT * FROM player_stats")
    applied(
        dsn,
        "[compression]\nsegment_by = ['player_id']\norder_by = ['game_date DESC', 'id']\nafter = '10 days'",
    )
    [(job,)] = community_db.execute(
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression'"
    )
    run_job(community_db, job)
    assert community_db.execute(
        "SELECT count(*) > 3 FROM timescaledb_information.chunks WHERE is_compressed"
    )[0][0]
    columns = ("id", "player_id", "stat_type", "value", "game_date")
    with community_db.connect() as conn:
        oracle.assert_same_rows(
            conn, sql.Identifier("public", "plain"), sql.Identifier("public", "player_stats"), columns
        )
    changed = "[compression]\nsegment_by = ['player_id', 'stat_type']\norder_by = ['game_date DESC', 'id']\nafter = '12 days'"
    found = difference(dsn, changed)
    assert keys(found) == ["compression", "compression-policy"]
    assert "are compressed by other settings, and stay so" in found.steps[0].notes[0]
    applied(dsn, changed)
    assert difference(dsn, changed).empty
    assert community_db.execute(
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression'"
    ) == [(job,)]
    assert rules(difference(dsn, "compression = false")) == {"compressed-chunks"}
    with pytest.raises(Refused, match="1 refusal"):
        applied(dsn, "compression = false")
    assert [step.key for step in applied(dsn, "[compression]\nafter = false").done] == ["compression-policy"]
    community_db.execute("SELECT decompress_chunk(c, true) FROM show_chunks('player_stats') c")
    assert keys(difference(dsn, "compression = false")) == ["compression"]
    applied(dsn, "compression = false")
    assert difference(dsn, "compression = false").empty
    with community_db.connect() as conn:
        oracle.assert_same_rows(
            conn, sql.Identifier("public", "plain"), sql.Identifier("public", "player_stats"), columns
        )


def test_an_order_without_the_time_is_as_declared_once_it_is_applied(community_db: Database) -> None:
    """TimescaleDB adds the time, which it names in its settings from then on."""
    dsn = owned(community_db)
    text = (
        "[compression]\nsegment_by = ['player_id']\norder_by = ['id']\n"
        + DAILY
        + "compression = { order_by = ['total'] }"
    )
    done = [step.key for step in applied(dsn, text).done]
    assert "compression" in done
    assert "compression:public.player_daily" in done
    assert difference(dsn, text).empty
    assert not applied(dsn, text).done
    other = text.replace("'id'", "'stat_type', 'id DESC'").replace("'total'", "'total DESC'")
    assert keys(difference(dsn, other)) == ["compression", "compression:public.player_daily"]
    applied(dsn, other)
    assert difference(dsn, other).empty
    last = "[compression]\nsegment_by = ['player_id']\norder_by = []"
    applied(dsn, last)
    assert difference(dsn, last).empty
    assert community_db.execute(
        "SELECT attname::text, orderby_asc, orderby_nullsfirst FROM timescaledb_information.compression_settings "
        "WHERE hypertable_name = 'player_stats' AND orderby_column_index IS NOT NULL ORDER BY orderby_column_index"
    ) == [("game_date", False, True)]


def test_another_query_is_refused_and_pruning_asks_for_the_name(community_db: Database) -> None:
    dsn = owned(community_db)
    applied(dsn, DAILY)
    spaced = DAILY.replace(
        "SELECT time_bucket('1 day', game_date)", "select  Time_Bucket( INTERVAL '24 hours' , Game_Date )"
    )
    assert rules(difference(dsn, spaced)) == {"aggregate-query-changed"}
    spaced = DAILY.replace(
        "SELECT time_bucket('1 day', game_date)", "select  Time_Bucket( INTERVAL '1 day' , Game_Date )"
    )
    assert difference(dsn, spaced).empty
    with pytest.raises(Refused, match="1 refusal"):
        applied(dsn, DAILY.replace("sum(value)", "avg(value)"))
    assert community_db.execute("SELECT count(*) > 0 FROM player_daily") == [(True,)]
    prune = "aggregate:public.player_daily"
    with pytest.raises(Refused, match="not confirmed"):
        applied(dsn, "chunk_interval = '7 days'", "player_stats", prune)
    assert community_db.execute("SELECT count(*) > 0 FROM player_daily") == [(True,)]
    applied(dsn, "chunk_interval = '7 days'", "player_stats", prune, aggregates=["public.player_daily"])
    assert community_db.execute("SELECT to_regclass('player_daily')") == [(None,)]
    said: list[str] = []
    applied(dsn, "chunk_interval = '7 days'", "player_stats", prune, say=said.append)
    assert said == [f"{prune} is not there: nothing to prune"]


def test_what_the_server_cannot_read_is_told(community_db: Database) -> None:
    dsn = owned(community_db)
    community_db.execute("CREATE TABLE taken (i int)")
    circle = DAILY.replace("player_stats", "b").replace("player_daily", "a") + DAILY.replace(
        "player_stats", "a"
    ).replace("player_daily", "b")
    for text, rule in (
        (DAILY.replace("sum(value)", "sum(valu)"), "aggregate-not-understood"),
        (
            DAILY.replace("GROUP BY 1, 2", "GROUP BY 1, 2; CREATE TABLE slipped (i int)"),
            "aggregate-not-understood",
        ),
        (
            DAILY.replace(
                "FROM player_stats", "FROM (SELECT now() AS game_date, 1 AS player_id, 1 AS value) AS t"
            ),
            "aggregate-not-understood",
        ),
        (DAILY.replace("player_daily", "taken"), "name-taken"),
        (circle, "aggregate-cycle"),
        (DAILY + "index = [ { columns = ['totl'] } ]", "index-not-buildable"),
        (DAILY + "index = [ { columns = ['total); DROP TABLE player_stats; --'] } ]", "index-not-buildable"),
        ("[[index]]\ncolumns = ['valu']", "index-not-buildable"),
        ("[[index]]\nname = 'taken'\ncolumns = ['value']", "index-not-buildable"),
        ("[[index]]\nname = 'u'\ncolumns = ['player_id']\nunique = true", "index-not-buildable"),
        ("[compression]\nsegment_by = ['game_date']", "segment-by-time"),
        (
            DAILY + "refresh = { start_offset = '40 hours', end_offset = '1 hour', schedule = '1 hour' }",
            "window-under-two-buckets",
        ),
    ):
        assert rule in rules(difference(dsn, text)), text
        with pytest.raises(Refused):
            applied(dsn, text)
    assert community_db.execute("SELECT count(*) FROM player_stats") == [(560,)]
    assert community_db.execute("SELECT count(*) FROM timescaledb_information.continuous_aggregates") == [
        (0,)
    ]


def test_a_query_is_one_statement(community_db: Database) -> None:
    dsn = owned(community_db)
    text = DAILY.replace("GROUP BY 1, 2", "GROUP BY 1, 2; COMMIT; CREATE TABLE slipped (i int)")
    [refusal] = difference(dsn, text).refusals
    assert "cannot insert multiple commands" in refusal.message
    assert community_db.execute("SELECT to_regclass('slipped')") == [(None,)]


def test_an_owner_without_login(community_db: Database) -> None:
    owned(community_db)
    [(owner,)] = community_db.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'player_stats'")
    community_db.execute(f'ALTER ROLE "{owner}" NOLOGIN')
    text = "[retention]\nafter = '2 years'"
    assert rules(difference(community_db.dsn, text)) == {"owner-without-login"}
    community_db.execute(f'ALTER ROLE "{owner}" LOGIN')
    applied(community_db.dsn, text + DAILY)
    assert community_db.execute(
        "SELECT DISTINCT owner::text FROM timescaledb_information.jobs WHERE hypertable_name = 'player_stats'"
    ) == [(owner,)]
    assert community_db.execute(
        "SELECT view_owner::text FROM timescaledb_information.continuous_aggregates"
    ) == [(owner,)]


def test_what_a_statement_of_the_server_refuses_leaves_the_steps_before_it(community_db: Database) -> None:
    dsn = owned(community_db)
    bad = DAILY.replace("time_bucket('1 day', game_date)", "date_trunc('day', game_date)")
    bad += "[[index]]\nname = 'v'\ncolumns = ['value']"
    assert not difference(dsn, bad).refusals
    with pytest.raises(Failed, match="server refused a step") as caught:
        applied(dsn, bad)
    assert "server said" in caught.value.facts
    assert keys(difference(dsn, bad))[0] == "aggregate:public.player_daily"


def test_names_that_want_quotes(community_db: Database) -> None:
    role = community_db.make_role("owner")
    community_db.execute(
        f'GRANT CREATE ON DATABASE "{community_db.name}" TO "{role}"; GRANT ALL ON SCHEMA public TO "{role}"'
    )
    with community_db.connect(role) as conn:
        table = tables.awkward(conn)
        conn.execute(
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
                table.ident, sql.Identifier(_key(community_db))
            )
        )
        conn.execute(
            sql.SQL("SELECT create_hypertable({}, {}, migrate_data => true)").format(
                sql.Literal(table.quoted), sql.Literal(table.time)
            )
        )
    time = table.time
    text = AWKWARD.replace("LONG", tables.LONG).replace("TIME", time)
    dsn = community_db.dsn_as(role)
    found = difference(dsn, text, table.quoted)
    assert not found.refusals, found.refusals
    assert len(found.steps) == 8
    applied(dsn, text, table.quoted)
    assert difference(dsn, text, table.quoted).empty
    assert community_db.execute(
        'SELECT sum("%n") FROM "my.schema"."dai ""ly"" % {}"'
    ) == community_db.execute(f"SELECT count(*) FROM {table.quoted}")


def _key(db: Database) -> str:
    [(name,)] = db.execute(
        'SELECT conname FROM pg_constraint WHERE contype = \'p\' AND conrelid = \'"my.schema"."Weird ""Näme"""\'::regclass'
    )
    return str(name)


def test_an_integer_time(community_db: Database) -> None:
    dsn = owned(
        community_db,
        """
        CREATE TABLE ticks (at bigint NOT NULL, v int);
        SELECT create_hypertable('ticks', 'at', chunk_time_interval => 1000);
        INSERT INTO ticks SELECT i, i FROM generate_series(1, 5000) i;
        CREATE FUNCTION tick_now() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT max(at) FROM public.ticks';
        """,
    )
    text = "chunk_interval = '2000'\n[retention]\nafter = 2500\n"
    assert rules(difference(dsn, text, "ticks")) == {"integer-now"}
    community_db.execute("SELECT set_integer_now_func('ticks', 'tick_now')")
    found = difference(dsn, text, "ticks")
    assert found.steps[1].confirm is not None
    assert found.steps[1].confirm.drops is not None
    assert (len(found.steps[1].confirm.drops.chunks), found.steps[1].confirm.drops.rows) == (2, 1999)
    applied(dsn, text, "ticks", confirm=2)
    assert difference(dsn, text, "ticks").empty


def test_what_is_no_hypertable(community_db: Database) -> None:
    dsn = owned(community_db)
    applied(dsn, DAILY)
    community_db.execute(
        "CREATE TABLE plain (i int); CREATE VIEW seen AS SELECT 1 AS i; GRANT SELECT ON plain, seen TO PUBLIC"
    )
    for name in ("plain", "seen", "player_daily", "nowhere"):
        with pytest.raises(Usage):
            difference(dsn, DAILY, name)


TODAY = """
CREATE TABLE player_stats (player_id int, value numeric, game_date timestamptz NOT NULL);
SELECT create_hypertable('player_stats', 'game_date', chunk_time_interval => interval '7 days');
INSERT INTO player_stats VALUES (1, 1, now());
"""


def test_rows_of_an_open_bucket_are_not_waited_for(community_db: Database) -> None:
    """The bucket of today is left to the policy; only rows of closed buckets that were never refreshed are a difference."""
    dsn = owned(community_db, TODAY)
    applied(dsn, DAILY)
    assert difference(dsn, DAILY).empty
    community_db.execute(
        "INSERT INTO player_stats SELECT 1, 1, now() - i * interval '1 day' FROM generate_series(1, 30) i"
    )
    assert keys(difference(dsn, DAILY)) == ["refresh:public.player_daily"]
    community_db.execute(
        "CALL refresh_continuous_aggregate('player_daily', now() - interval '10 days', now())"
    )
    assert keys(difference(dsn, DAILY)) == ["refresh:public.player_daily"]
    applied(dsn, DAILY)
    assert difference(dsn, DAILY).empty
    assert community_db.execute("SELECT count(*) FROM player_daily")[0][0] >= 30


def test_a_first_refresh_that_ended_early_oldest_first(community_db: Database) -> None:
    """One that shows newest rows as they are read is refreshed oldest first. Where that ended before its policy's window, it goes on."""
    dsn = owned(community_db)
    text = (
        DAILY
        + "materialized_only = false\nrefresh = { start_offset = '5 days', end_offset = '1 hour', schedule = '1 hour' }"
    )
    with community_db.connect() as conn:
        owner = conn.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'player_stats'").fetchone()
        assert owner is not None
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(owner[0])))
        conn.execute(
            "CREATE MATERIALIZED VIEW player_daily WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS "
            "SELECT time_bucket('1 day', game_date) AS day, player_id, sum(value) AS total FROM player_stats GROUP BY 1, 2 WITH NO DATA"
        )
        conn.execute("CALL refresh_continuous_aggregate('player_daily', NULL, now() - interval '20 days')")
    assert keys(difference(dsn, text)) == [
        "refresh:public.player_daily",
        "refresh-policy:public.player_daily",
    ]
    applied(dsn, text)
    assert difference(dsn, text).empty
    community_db.execute(
        "CREATE VIEW raw_daily AS SELECT time_bucket('1 day', game_date) AS day, player_id, sum(value) AS total "
        "FROM player_stats GROUP BY 1, 2"
    )
    with community_db.connect() as conn:
        oracle.assert_same_rows(
            conn,
            sql.Identifier("public", "player_daily"),
            sql.Identifier("public", "raw_daily"),
            ("day", "player_id", "total"),
        )


def test_the_first_refresh_rests_while_a_replication_slot_keeps_too_much(
    community_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = owned(community_db)
    slot = f"declared_{uuid.uuid4().hex[:8]}"
    said: list[str] = []
    look = Sampler._slots

    def own(sampler: Sampler, conn: Any, found: list[Any]) -> None:
        look(sampler, conn, found)
        found[:] = [each for each in found if each.name == slot]  # other tests have slots on this server too

    monkeypatch.setattr(Sampler, "_slots", own)
    community_db.execute("SELECT pg_create_physical_replication_slot(%s, true)", slot)
    try:
        community_db.execute("CREATE TABLE filler AS SELECT n FROM generate_series(1, 2000) n")
        community_db.execute("CHECKPOINT")
        with ThreadPoolExecutor(1) as beside:
            run = beside.submit(
                applied, dsn, DAILY, say=said.append, limits=limits_of({"max_slot_lag": "1kB"})
            )
            while not run.done() and not any("refreshing waits" in text and slot in text for text in said):
                time.sleep(0.05)
            waited = not run.done()
            time.sleep(1.0)
            kept = community_db.execute("SELECT count(*) FROM player_daily")[0][0]
            community_db.execute("SELECT pg_drop_replication_slot(%s)", slot)
            run.result(120)
        assert waited
        assert community_db.execute("SELECT count(*) FROM player_daily")[0][0] > kept == 0
        assert difference(dsn, DAILY).empty
    finally:
        community_db.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", slot
        )


LOCAL = """
CREATE TABLE player_stats (game_date timestamp NOT NULL, value int);
SELECT create_hypertable('player_stats', 'game_date', chunk_time_interval => interval '1 hour');
INSERT INTO player_stats SELECT (now() AT TIME ZONE 'Asia/Tokyo') - i * interval '1 hour', i FROM generate_series(-1, 60) AS i;
"""


def test_what_is_confirmed_is_what_goes_whatever_the_jobs_time_zone_is(community_db: Database) -> None:
    """A column without a zone: a job of this database reckons with Tokyo, nine hours ahead of our own sessions."""
    [(name,)] = community_db.execute("SELECT quote_ident(current_database())")
    community_db.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'")
    dsn = owned(community_db, LOCAL)
    chunks = {row[0] for row in community_db.execute("SELECT show_chunks('player_stats')::text")}
    [step] = difference(dsn, "[retention]\nafter = '40 hours'").steps
    assert step.confirm is not None
    said = step.confirm.drops
    assert said is not None
    assert 19 <= len(said.chunks) <= 21
    assert str(said.until).endswith("+00")
    applied(dsn, "[retention]\nafter = '40 hours'", confirm=len(said.chunks))
    [(job,)] = community_db.execute("SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'")
    run_job(community_db, job)
    left = {row[0] for row in community_db.execute("SELECT show_chunks('player_stats')::text")}
    # An hour may have turned between the two.
    assert {str(each) for each in said.chunks} <= chunks - left
    assert len(chunks - left) <= len(said.chunks) + 1


def test_a_query_in_words_that_were_printed_is_no_other_query(community_db: Database) -> None:
    """A dump makes the aggregate from what PostgreSQL printed, which it reads and prints otherwise; and so may a file that was
    written from it."""
    dsn = owned(community_db)
    community_db.execute("ALTER TABLE player_stats ADD COLUMN status varchar(20)")
    written = (
        "SELECT time_bucket('1 day', game_date) AS day, count(*) AS n FROM player_stats WHERE status IN ('a', 'b') GROUP BY 1"
    )

    def file(query: str) -> str:
        return f'[[continuous_aggregate]]\nname = "daily"\nquery = """{query}"""\n'

    def made_from(query: str) -> str:
        community_db.execute("DROP MATERIALIZED VIEW IF EXISTS daily")
        applied(dsn, file(query))
        [(printed,)] = community_db.execute("SELECT view_definition FROM timescaledb_information.continuous_aggregates")
        return str(printed)

    once = made_from(written)
    twice = made_from(once)
    assert once != twice
    for made in (written, once):
        made_from(made)
        for words in (written, once, twice):
            assert difference(dsn, file(words)).empty, (made, words)
        assert rules(difference(dsn, file(written.replace("'b'", "'c'")))) == {"aggregate-query-changed"}


KEPT_BEFORE = (
    "SELECT ctid::text, xmin::text, k::text FROM {kept} k WHERE day >= '1971-01-01' AND day < now() - interval '22 days' ORDER BY 3"
)


@pytest.mark.parametrize("raw_too", [False, True])
def test_a_row_that_comes_late_costs_no_history(community_db: Database, raw_too: bool) -> None:
    """Raw rows are kept for a while, their aggregate for ever. `apply` refreshes what nothing is kept of, and nothing else."""
    dsn = owned(community_db)
    text = DAILY + f"materialized_only = {'false' if raw_too else 'true'}\n"
    text += "refresh = { start_offset = '10 days', end_offset = '1 hour', schedule = '1 hour' }"
    applied(dsn, text)
    community_db.execute(PAUSE)
    text += "\n[retention]\nafter = '10 years'"
    [(kept,)] = community_db.execute(
        "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) "
        "FROM timescaledb_information.continuous_aggregates"
    )
    community_db.execute("SELECT drop_chunks('player_stats', interval '14 days')")
    before = community_db.execute(KEPT_BEFORE.format(kept=kept))
    assert len(before) > 20 * 7
    applied(dsn, text)
    community_db.execute(PAUSE)
    late = "INSERT INTO player_stats (player_id, stat_type, value, game_date) SELECT 1, 's', 1, "
    # Of a day that is kept, in a chunk that comes anew with it.
    community_db.execute(late + "now() - interval '30 days'")
    assert "refresh:public.player_daily" not in keys(difference(dsn, text))
    # Of a day that nothing was ever kept of.
    community_db.execute(late + "'1970-01-01 12:00+00'")
    assert "refresh:public.player_daily" in keys(difference(dsn, text))
    text = text.replace("10 years", "100 years")
    applied(dsn, text)
    assert community_db.execute(KEPT_BEFORE.format(kept=kept)) == before
    assert community_db.execute(f"SELECT day::text, total FROM {kept} WHERE day < '1971-01-01'") == [("1970-01-01 00:00:00+00", 1)]
    assert difference(dsn, text).empty
    assert not applied(dsn, text).done


UNSEEN = "SELECT sum(total) FROM player_daily WHERE day < now() - interval '40 days'"


def test_rows_that_no_aggregate_has_seen_are_not_dropped_unasked(community_db: Database) -> None:
    """A backfill behind the window of the aggregate's policy: logged, and never refreshed."""
    dsn = owned(community_db)
    text = DAILY + "refresh = { start_offset = '3 days', end_offset = '1 hour', schedule = '1 hour' }\n"
    applied(dsn, text)
    community_db.execute(PAUSE.replace(">= 1000", "IN (SELECT job_id FROM timescaledb_information.jobs WHERE proc_name LIKE 'policy_refresh%')"))
    text += "[retention]\nafter = '20 days'\n"
    [drops] = [step.confirm.drops for step in difference(dsn, text).steps if step.confirm is not None and step.confirm.drops]
    assert drops.losses == ()  # all of it was refreshed
    community_db.execute(
        "INSERT INTO player_stats (player_id, stat_type, value, game_date) SELECT 1, 's', 1000, now() - interval '45 days'"
    )
    [drops] = [step.confirm.drops for step in difference(dsn, text).steps if step.confirm is not None and step.confirm.drops]
    [loss] = drops.losses
    assert (loss.rule, str(loss.aggregate)) == ("waiting-rows", "public.player_daily")
    assert "1 chunk with rows that wait" in loss.message
    rows = community_db.execute("SELECT count(*) FROM player_stats")
    with pytest.raises(Refused, match="not confirmed") as refused:
        applied(dsn, text, confirm=len(drops.chunks))
    assert "public.player_daily (waiting-rows)" in refused.value.facts
    assert "--accept waiting-rows" in str(refused.value)
    assert community_db.execute("SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'") == [(0,)]
    assert community_db.execute("SELECT count(*) FROM player_stats") == rows
    # What the remedy says: then nothing is lost.
    [(total,)] = community_db.execute(UNSEEN)
    community_db.execute("CALL" + loss.remedy.split("CALL")[1])
    assert community_db.execute(UNSEEN) == [(total + 1000,)]
    applied(dsn, text, confirm=len(drops.chunks))
    [(job,)] = community_db.execute("SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'")
    run_job(community_db, job)
    assert community_db.execute(UNSEEN) == [(total + 1000,)]


def test_an_aggregate_that_the_file_does_not_mention_loses_nothing_unasked(community_db: Database) -> None:
    dsn = owned(community_db)
    with community_db.connect() as conn:
        conn.execute(
            "CREATE MATERIALIZED VIEW other WITH (timescaledb.continuous) AS "
            "SELECT time_bucket('1 day', game_date) AS day, sum(value) AS total FROM player_stats GROUP BY 1 WITH NO DATA"
        )
    text = "[retention]\nafter = '20 days'"
    with pytest.raises(Refused, match="not confirmed") as refused:
        applied(dsn, text, confirm=100)
    assert "public.other (waiting-rows)" in refused.value.facts
    world = inspect(dsn, "player_stats", wish(text))
    shown = "\n".join(str(line) for line in difference_lines(world))
    assert "public.other loses rows: apply wants --accept waiting-rows" in shown
    assert [each["aggregate"] for each in difference_json(world)["steps"][-1]["drops"]["losses"]] == ["public.other"]
    applied(dsn, text, confirm=100, accept=["waiting-rows"])
    assert difference(dsn, text).empty


def test_what_is_refreshed_by_a_step_before_is_not_lost(community_db: Database) -> None:
    """A new aggregate, and one that was never refreshed: both are made from the rows before they go."""
    dsn = owned(community_db)
    applied(dsn, DAILY.replace("player_daily", "first"))
    with community_db.connect() as conn:
        conn.execute("SET ROLE " + community_db.execute("SELECT quote_ident(tableowner) FROM pg_tables WHERE tablename = 'player_stats'")[0][0])
        conn.execute(
            "CREATE MATERIALIZED VIEW player_daily WITH (timescaledb.continuous) AS SELECT time_bucket('1 day', game_date) AS day, "
            "player_id, sum(value) AS total FROM player_stats GROUP BY 1, 2 WITH NO DATA"
        )
    text = "[retention]\nafter = '20 days'" + DAILY + DAILY.replace("player_daily", "third")
    done = [step.key for step in applied(dsn, text, confirm=100).done]
    assert done[-1] == "retention-policy"
    assert {"refresh:public.player_daily", "refresh:public.third"} < set(done)


def test_retention_by_when_chunks_were_made_becomes_one_by_age(community_db: Database) -> None:
    """A drop_after beside drop_created_before would leave the server to choose, and the file's two years could be seven days."""
    dsn = owned(community_db)
    community_db.execute(
        "SELECT add_retention_policy('player_stats', drop_created_before => interval '7 days', schedule_interval => interval '3 hours')"
    )
    [unmanaged] = difference(dsn, "chunk_interval = '7 days'").unmanaged[-1:]
    assert (
        unmanaged.what == "retention policy, chunks that were made more than 7 days ago, whatever the age of their rows, "
        "every 3 hours"
    )
    text = "[retention]\nafter = '2 years'"
    [step] = difference(dsn, text).steps
    assert "instead of chunks that were made more than 7 days ago" in step.what
    assert step.confirm is None
    drops = difference(dsn, text.replace("2 years", "20 days")).steps[0].confirm
    assert drops is not None
    assert drops.drops is not None
    with pytest.raises(Refused, match="not confirmed"):
        applied(dsn, text.replace("2 years", "20 days"))
    jobs = "SELECT config - 'hypertable_id', schedule_interval::text, scheduled FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'"
    assert community_db.execute(jobs) == [({"drop_created_before": "7 days"}, "03:00:00", True)]
    applied(dsn, text)
    assert community_db.execute(jobs) == [({"drop_after": "2 years"}, "03:00:00", True)]
    assert difference(dsn, text).empty
    # What an earlier hyperferry may have left: both.
    community_db.execute(
        "SELECT alter_job(job_id, scheduled => false, config => config || '{\"drop_created_before\": \"7 days\"}', check_config => NULL) "
        "FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'"
    )
    assert keys(difference(dsn, text)) == ["retention-policy"]
    applied(dsn, text)
    assert community_db.execute(jobs) == [({"drop_after": "2 years"}, "03:00:00", True)]


def test_a_refresh_behind_retention_by_when_chunks_were_made_is_refused(community_db: Database) -> None:
    dsn = owned(community_db)
    community_db.execute("SELECT add_retention_policy('player_stats', drop_created_before => interval '7 days')")
    text = DAILY + "refresh = { start_offset = '20 days', end_offset = '1 hour', schedule = '1 hour' }"
    assert rules(difference(dsn, text)) == {"refresh-behind-retention"}
    assert not rules(difference(dsn, text.replace("20 days", "5 days")))


def test_retention_over_tiered_chunks_wants_a_word(community_db: Database) -> None:
    """show_chunks leaves them out, and the policy drops them all the same."""
    dsn = owned(community_db)
    community_db.execute(
        "CREATE FOREIGN DATA WRAPPER tiers; CREATE SERVER tiers FOREIGN DATA WRAPPER tiers; "
        "CREATE FOREIGN TABLE tiered (id bigint NOT NULL, player_id integer NOT NULL, stat_type text NOT NULL, value numeric NOT NULL, "
        "game_date timestamptz NOT NULL) SERVER tiers"
    )
    community_db.execute("ALTER FOREIGN TABLE tiered OWNER TO " + community_db.execute(
        "SELECT quote_ident(tableowner) FROM pg_tables WHERE tablename = 'player_stats'"
    )[0][0])
    text = "[retention]\nafter = '2 years'"
    assert difference(dsn, text).steps[0].confirm is None
    assert community_db.execute("SELECT _timescaledb_functions.attach_osm_table_chunk('player_stats', 'tiered')") == [(True,)]
    [step] = difference(dsn, text).steps
    assert step.confirm is not None
    assert step.confirm.drops is not None
    assert (step.confirm.drops.chunks, step.confirm.drops.tiered) == ((), True)
    with pytest.raises(Refused, match="not confirmed") as refused:
        applied(dsn, text)
    assert "how many is not known" in str(refused.value)
    assert "--confirm-drop 0" in str(refused.value)
    assert community_db.execute("SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'") == [(0,)]
    assert [each.key for each in applied(dsn, text, confirm=0).done] == ["retention-policy"]
