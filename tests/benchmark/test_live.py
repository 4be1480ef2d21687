"""Benchmarks on real servers: which side is read, what makes a query lose, what is never done."""

from __future__ import annotations

import statistics
import threading
import time

import pytest
from psycopg.conninfo import make_conninfo

from hyperferry import engine
from hyperferry.benchmark import BenchOptions, bench, from_text, to_text
from hyperferry.benchmark.options import Report, Verdict
from hyperferry.errors import Failed, Interrupted, Refused, Usage
from hyperferry.model.plan_options import PlanOptions
from kit.standby import own_server, standby_of
from servers import SO_OFTEN, Database, Server, make_database

from .conftest import TABLE, make, measure, of, reasons

POINT = "-- name: point\nSELECT * FROM player_stats WHERE id = $1;\n"
DAY = "-- name: day\nSELECT count(*) FROM public.player_stats s WHERE s.game_date >= $1 AND s.game_date < $2;\n"
WIDE = """
INSERT INTO player_stats (player_id, stat_type, value, game_date)
SELECT i, 'x', 1, timestamptz '2024-01-06' + i * interval '10 seconds' FROM generate_series(1, 60000) AS i;
ANALYZE player_stats;
"""


def codes(report: Report, name: str) -> list[str]:
    return [cause.code for cause in of(report, name).causes]


def test_a_point_read_without_the_time_loses_and_is_told_why(synced: Database) -> None:
    for _ in range(3):  # what planning takes beside the rest is measured, and others are at work
        report = measure(synced, POINT + DAY)
        if "planning-over-chunks" in codes(report, "point"):
            break
    point, day = of(report, "point"), of(report, "day")
    assert report.failed
    assert point.verdict is Verdict.SLOWER
    assert point.ratio is not None
    assert point.ratio > 1.2
    assert {"no-time-predicate", "planning-over-chunks"} <= set(codes(report, "point"))
    assert "game_date" in point.causes[0].remedy
    assert report.after.chunk_count >= 84
    assert {run.chunks for run in point.after.runs} == {report.after.chunk_count}
    assert {run.chunks for run in day.after.runs} <= {1, 2, 3}
    assert day.before is not None
    assert {run.chunks for run in day.before.runs} == {0}
    assert [run.rows for run in day.before.runs] == [run.rows for run in day.after.runs]


def test_each_side_reads_its_own_table(synced: Database) -> None:
    """Rows that only one side has tell which one was read."""
    synced.execute("DELETE FROM hyperferry_new_1.player_stats WHERE player_id = 7")
    report = measure(
        synced,
        "-- name: bare\nSELECT * FROM player_stats WHERE player_id = 7;"
        "-- name: written out\nSELECT public.player_stats.id FROM public.player_stats WHERE public.player_stats.player_id = 7;"
        "-- name: hidden\nWITH player_stats AS (SELECT * FROM public.player_stats) SELECT * FROM player_stats WHERE player_id = 7",
    )
    for outcome in report.outcomes:
        assert outcome.before is not None
        assert {run.rows for run in outcome.before.runs} == {60}
        assert {run.rows for run in outcome.after.runs} == {0}
        assert "different numbers of rows" in " ".join(outcome.notes)
    assert len(report.outcomes) == 3


def test_an_index_that_the_hypertable_lacks_is_named(stats: Database) -> None:
    stats.execute(WIDE)
    make(stats, interval="365 days")
    stats.execute("DROP INDEX hyperferry_new_1.player_stats_player_idx")
    report = measure(stats, "-- name: player\nSELECT * FROM player_stats WHERE player_id = $1")
    assert of(report, "player").verdict is Verdict.SLOWER
    cause = next(each for each in of(report, "player").causes if each.code == "index-missing")
    assert "player_stats_player_idx" in cause.words
    assert "USING btree (player_id, stat_type)" in cause.remedy


def test_an_index_that_is_there_is_not_called_missing(synced: Database) -> None:
    """The key's index is widened by the time and named after each chunk: still the same index."""
    synced.execute(WIDE)
    engine.sync(synced.dsn, "player_stats", until_empty=True)
    report = measure(synced, POINT)
    assert not {"index-missing", "index-not-used"} & set(codes(report, "point"))
    shape = of(report, "point").after.shape
    assert shape is not None
    assert any("player_stats_pkey" in line for line in shape.lines)


def test_what_does_more_than_read_one_side_is_left_out(synced: Database) -> None:
    synced.execute(
        "CREATE VIEW totals WITH (security_barrier) AS SELECT player_id, sum(value) FROM player_stats GROUP BY 1;"
        "CREATE TABLE other (id int);"
        "CREATE FUNCTION inner_writes() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO other VALUES (1); RETURN 1; END $$;"
        "CREATE FUNCTION writes() RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN inner_writes(); END $$;"
        "CREATE FUNCTION opens() RETURNS int LANGUAGE plpgsql STABLE AS "
        "$$ BEGIN PERFORM set_config('default_transaction_read_only', 'off', false); RETURN 1; END $$"
    )
    report = measure(
        synced,
        POINT + "-- name: write\nDELETE FROM player_stats;-- name: cte\nWITH x AS (DELETE FROM player_stats RETURNING 1) TABLE x;"
        "-- name: lock\nSELECT * FROM player_stats FOR UPDATE;-- name: view\nSELECT * FROM totals;"
        "-- name: volatile\nSELECT pg_sleep(60) FROM player_stats;-- name: elsewhere\nSELECT * FROM other;"
        "-- name: wrong\nSELECT nothing FROM player_stats;-- name: value\n-- param 1: nothing\nSELECT $1 FROM player_stats;"
        "-- name: unknown\nSELECT * FROM player_stats WHERE value + 1 = $1;"
        "-- name: opens\nSELECT opens() FROM player_stats LIMIT 1;-- name: lies\nSELECT writes() FROM player_stats LIMIT 1;",
    )
    left = reasons(report)
    assert set(left) == {"write", "cte", "lock", "view", "volatile", "elsewhere", "wrong", "value", "unknown"}
    assert "public.totals" in left["view"]
    assert "pg_catalog.pg_sleep" in left["volatile"]
    assert "does not read" in left["elsewhere"]
    assert "nothing" in left["wrong"]
    lies = of(report, "lies")
    assert lies.verdict is Verdict.NOT_MEASURED
    assert lies.before is not None
    assert "read-only transaction" in (lies.before.error or "")
    assert synced.execute("SELECT count(*) FROM other") == [(0,)]
    assert synced.execute("SELECT count(*) FROM player_stats") == [(3000,)]


def test_a_query_through_views_is_measured_as_it_will_read_after_the_cutover(stats: Database) -> None:
    synced = stats
    synced.execute(
        "CREATE SCHEMA other; CREATE VIEW totals AS SELECT player_id AS who, sum(value) AS total FROM player_stats GROUP BY 1;"
        'CREATE VIEW other."Best" AS SELECT t.* FROM totals t JOIN player_stats s ON s.player_id = t.who AND s.id = 1'
    )
    make(synced)
    synced.execute("DELETE FROM hyperferry_new_1.player_stats WHERE player_id IN (3, 7)")
    queries = (
        "-- name: one\n-- param 1: player_id\nSELECT * FROM public.totals x WHERE x.who > $1 - 100;"
        '-- name: two\nWITH a AS (SELECT * FROM other."Best") SELECT a.total FROM a;'
    )
    report = measure(synced, queries)
    assert not report.left_out
    one, two = of(report, "one"), of(report, "two")
    assert one.before is not None
    assert ({run.rows for run in one.before.runs}, {run.rows for run in one.after.runs}) == ({50}, {48})
    assert {run.rows for run in two.after.runs} == {1}
    assert "public.totals" in " ".join(one.notes)
    engine.verify(synced.dsn, "player_stats", repair=True)
    engine.cutover(synced.dsn, "player_stats", accept=frozenset({"all"}))
    after = of(measure(synced, queries), "one")
    assert after.before is not None
    assert {run.chunks for run in after.before.runs} == {0}
    assert all(run.chunks for run in after.after.runs)


def test_no_lock_is_taken_but_the_readers_own(synced: Database) -> None:
    look = (
        "-- name: look\nSELECT l.mode FROM pg_locks l, (SELECT 1 FROM player_stats WHERE id = 1) AS p "
        "WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode {} 'AccessShareLock'"
    )
    other = of(measure(synced, look.format("<>")), "look")
    assert {run.rows for run in other.after.runs} == {0}
    assert all(run.rows > 0 for run in of(measure(synced, look.format("=")), "look").after.runs)


def test_somebody_who_locks_the_table_for_a_moment_is_waited_for(synced: Database) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with synced.connect(autocommit=False) as conn:
            conn.execute("LOCK TABLE player_stats IN ACCESS EXCLUSIVE MODE")
            held.set()
            done.wait(1.5)
            conn.rollback()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    try:
        assert len(measure(synced, POINT).outcomes) == 1
    finally:
        done.set()
        holder.join()


def test_a_query_that_takes_too_long_is_given_up(synced: Database) -> None:
    slow = "-- name: slow\nSELECT count(*) FROM player_stats a, player_stats b, player_stats c"
    report = measure(synced, POINT + slow, timeout=2)
    assert of(report, "slow").verdict is Verdict.NOT_MEASURED
    assert "longer than 2 s" in (((before := of(report, "slow").before) and before.error) or "")
    assert of(report, "point").after.runs


def test_a_query_that_the_hypertable_refuses_fails(synced: Database) -> None:
    """The old key alone no longer tells one row."""
    report = measure(synced, "-- name: by key\nSELECT id, player_id FROM player_stats GROUP BY id")
    assert of(report, "by key").verdict is Verdict.FAILED
    assert "GROUP BY" in (of(report, "by key").after.error or "")
    assert codes(report, "by key") == ["refused"]
    assert "correct the query" in of(report, "by key").causes[0].remedy
    assert report.failed


def test_a_query_that_only_the_hypertable_cannot_answer_in_time_fails(synced: Database) -> None:
    """In the second round."""
    synced.execute(
        "CREATE FUNCTION tires(oid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ DECLARE ran int; BEGIN "
        "SELECT count(*) INTO ran FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid(); "
        "PERFORM pg_advisory_lock_shared(42 + ran); "
        "IF ran > 1 AND (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = $1) <> 'public' THEN PERFORM pg_sleep(5); END IF; "
        "RETURN true; END $$"
    )
    late = "-- name: late\nSELECT * FROM player_stats WHERE id = 1 AND tires(tableoid)"
    dsn = make_conninfo(synced.dsn, options="-cwork_mem=5MB")
    report = bench(BenchOptions(dsn, "player_stats", queries=(late, "q"), timeout=2, runs=4))
    assert of(report, "late").verdict is Verdict.FAILED
    # Its plan without a run tells more than that it took too long.
    assert codes(report, "late") == ["no-time-predicate", "too-slow"]
    before, after = of(report, "late").before, of(report, "late").after
    assert len(after.runs) == 1
    assert before is not None
    assert before.shape is not None
    assert after.shape is not None
    # Both sides are planned under the same settings.
    assert before.shape.settings == after.shape.settings
    assert before.shape.settings["work_mem"] == "5MB"
    assert not [note for note in of(report, "late").notes if "other settings" in note]
    assert report.failed


def test_nothing_is_compared_while_rows_are_missing(stats: Database) -> None:
    make(stats)
    stats.execute("UPDATE hyperferry.rollout SET phase = 'copying'")
    with pytest.raises(Refused, match="copying"):
        measure(stats, POINT)
    assert measure(stats, POINT, alone=True).before is None


def test_what_the_hypertable_refuses_fails_against_a_kept_file_too(stats: Database) -> None:
    kept = measure(stats, "-- name: by key\nSELECT id, player_id FROM player_stats GROUP BY id;" + POINT)
    make(stats)
    engine.cutover(stats.dsn, "player_stats", accept=frozenset({"all"}))
    report = measure(stats, None, against=kept)
    assert of(report, "by key").verdict is Verdict.FAILED
    assert "GROUP BY" in (of(report, "by key").after.error or "")
    assert codes(report, "by key") == ["refused"]
    assert not report.left_out


def test_only_what_was_measured_alike_is_compared(stats: Database) -> None:
    """The same table, planned in the same way, with values that both ran with."""
    stats.execute("CREATE TABLE other (id int PRIMARY KEY, game_date timestamptz); INSERT INTO other VALUES (1, now())")
    kept = measure(stats, POINT, runs=2, draws=5)
    with pytest.raises(Usage, match="another table"):
        measure(stats, None, table="other", against=kept)
    with pytest.raises(Usage, match="another way"):
        measure(stats, None, against=kept, generic=True)
    point = of(measure(stats, None, against=kept, runs=10), "point")
    assert point.before is not None
    assert {run.draw for run in point.before.runs} == {run.draw for run in point.after.runs} == {0, 1}
    assert len(point.before.runs) == len(point.after.runs) == 2


def test_a_function_that_reads_the_other_table_is_noticed(synced: Database) -> None:
    """What is planned shows nothing of it; a run does."""
    synced.execute(
        "CREATE FUNCTION total(int) RETURNS numeric LANGUAGE plpgsql STABLE AS "
        "$$ BEGIN RETURN (SELECT sum(value) FROM public.player_stats WHERE player_id = $1); END $$"
    )
    report = measure(synced, POINT + "-- name: total\nSELECT s.id, total(s.player_id) FROM player_stats s LIMIT 1")
    assert "still read the plain table, through a function" in reasons(report)["total"]
    assert [outcome.query.name for outcome in report.outcomes] == ["point"]


def test_an_expression_that_does_more_than_read_is_not_run(stats: Database) -> None:
    stats.execute("CREATE TABLE other (id int); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    query = "-- name: {0}\n-- param 1: {1}\nSELECT * FROM player_stats WHERE id = $1;"
    cases = {
        "second": "1)::text; COMMIT; DROP TABLE other; SELECT (1",
        "closed": "1)::text FROM player_stats) AS a, (SELECT (1",
        "volatile": "public.f()",
        "sleeps": "pg_sleep(1)::text",
    }
    report = measure(stats, POINT + "".join(query.format(name, text) for name, text in cases.items()), alone=True)
    assert set(reasons(report)) == set(cases)
    assert "no single expression" in reasons(report)["second"]
    assert "public.f" in reasons(report)["volatile"]
    assert stats.execute("SELECT count(*) FROM other") == [(0,)]


def test_a_volatile_function_in_a_view_is_not_called(stats: Database) -> None:
    stats.execute("CREATE VIEW slow AS SELECT id, pg_sleep(60)::text FROM player_stats")
    assert "pg_sleep" in reasons(measure(stats, POINT + "-- name: slow\nSELECT * FROM slow", alone=True))["slow"]


def test_gaps_can_be_filled(community_db: Database) -> None:
    """TimescaleDB calls these functions volatile, though they only read."""
    community_db.execute(TABLE)
    make(community_db)
    filled = (
        "-- name: filled\nSELECT time_bucket_gapfill('1 day', game_date) AS day, locf(avg(value)) FROM player_stats "
        "WHERE game_date >= '2024-01-10' AND game_date < '2024-01-20' GROUP BY 1"
    )
    assert {run.rows for run in of(measure(community_db, filled), "filled").after.runs} == {10}


def test_the_rollouts_time_column_is_used_alone_too(synced: Database) -> None:
    """Without it both ends of a range would be one value, and nothing between them."""
    day = of(measure(synced, DAY, alone=True), "day")
    assert all("interval" in value.expression for number, value in day.query.values.items() if number == 2)
    assert {len(set(drawn)) for drawn in day.query.drawn} == {2}
    with pytest.raises(Usage, match="no column"):
        measure(synced, DAY, alone=True, time_column="gamedate")


def test_a_range_of_unknown_width_is_left_to_its_author(stats: Database) -> None:
    report = measure(stats, POINT + DAY + "-- name: ids\nSELECT * FROM player_stats WHERE id BETWEEN $1 AND $2", alone=True)
    assert {"day", "ids"} == set(reasons(report))
    assert "--time" in reasons(report)["day"]


def test_a_short_time_limit_is_the_queries_own(synced: Database) -> None:
    """What is looked up beside them may take longer."""
    assert len(measure(synced, "-- name: one\nSELECT 1 FROM player_stats LIMIT 1", timeout=0.03).outcomes) == 1


def test_another_table_of_the_name_is_not_compared_with_the_shadow(synced: Database) -> None:
    synced.execute("ALTER TABLE player_stats RENAME TO was")
    synced.execute("CREATE TABLE player_stats (LIKE was INCLUDING ALL); INSERT INTO player_stats SELECT * FROM was")
    with pytest.raises(Refused, match="another table"):
        measure(synced, POINT)
    assert measure(synced, POINT, alone=True).outcomes


def test_before_and_after_by_a_kept_file(stats: Database) -> None:
    before = from_text(to_text(measure(stats, POINT + DAY)), "kept.json")
    assert before.before is None
    assert {outcome.verdict for outcome in before.outcomes} == {Verdict.MEASURED}
    make(stats)
    engine.cutover(stats.dsn, "player_stats", accept=frozenset({"all"}))
    after = measure(stats, None, against=before)
    assert after.before is not None
    assert (after.before.label, after.after.label) == ("plain table", "hypertable")
    assert of(after, "point").verdict is Verdict.SLOWER
    assert [outcome.query.drawn for outcome in after.outcomes] == [outcome.query.drawn for outcome in before.outcomes]
    again = from_text(to_text(after), "kept.json")
    assert [o.causes for o in again.outcomes] == [o.causes for o in after.outcomes]


def test_after_the_cutover_the_old_table_is_the_one_before(synced: Database) -> None:
    engine.cutover(synced.dsn, "player_stats", accept=frozenset({"all"}))
    report = measure(synced, POINT + DAY)
    assert report.before is not None
    assert (report.before.name.schema, report.after.name.schema) == ("hyperferry_old_1", "public")
    day = of(report, "day")
    assert day.before is not None
    assert {run.chunks for run in day.before.runs} == {0}
    assert all(run.chunks for run in day.after.runs)
    assert of(report, "point").verdict is Verdict.SLOWER


WEIRD = """
CREATE SCHEMA "my.schema";
CREATE TABLE "my.schema"."Weird ""Näme" (
    "Id %s" bigint PRIMARY KEY, "when?" timestamptz NOT NULL, "select" text
);
INSERT INTO "my.schema"."Weird ""Näme" SELECT i, timestamptz '2024-01-01' + i * interval '1 hour', 'a%' FROM generate_series(1, 500) AS i;
"""


def test_awkward_names(db: Database) -> None:
    db.execute(WEIRD)
    name = '"my.schema"."Weird ""Näme"'
    make(db, name, "when?", "2 days")
    report = measure(
        db,
        f"""-- name: qualified
        SELECT * FROM {name} w WHERE w."Id %s" = $1 AND "select" LIKE 'a%';
        -- name: range
        -- param 2: "when?" + interval '1 day'
        SELECT count(*) FROM {name} WHERE "when?" >= $1 AND "when?" < $2""",
        name,
    )
    assert not report.left_out
    assert {run.rows for run in of(report, "qualified").after.runs} == {1}
    assert all(run.chunks <= 2 for run in of(report, "range").after.runs)


def test_the_path_of_the_role_counts(stats: Database) -> None:
    role = stats.make_role()
    stats.execute(f'CREATE SCHEMA mine; ALTER TABLE player_stats SET SCHEMA mine; GRANT ALL ON SCHEMA mine TO "{role}"')
    stats.execute(f'ALTER ROLE "{role}" SET search_path = mine')
    stats.execute(f'ALTER TABLE mine.player_stats OWNER TO "{role}"; GRANT CREATE ON DATABASE "{stats.name}" TO "{role}"')
    plan = engine.make_plan(stats.dsn_as(role), "player_stats", "game_date", PlanOptions(chunk_interval="7 days"))
    engine.start(stats.dsn_as(role), None, plan)
    report = bench(BenchOptions(stats.dsn_as(role), "player_stats", queries=(POINT, "q"), runs=2, draws=1))
    assert all(run.chunks for run in of(report, "point").after.runs)
    # Under another path the bare name means nothing.
    elsewhere = f"{stats.dsn_as(role)}?options=-csearch_path%3Dpublic"
    with pytest.raises(Failed, match="None of the queries"):
        bench(BenchOptions(elsewhere, "mine.player_stats", queries=(POINT, "q")))


def test_a_seed_decides_on_the_values(synced: Database) -> None:
    def drawn(**more: int) -> list[tuple[tuple[str | None, ...], ...]]:
        return [outcome.query.drawn for outcome in measure(synced, POINT + DAY, runs=1, draws=5, **more).outcomes]

    first = drawn(seed=4)
    assert first == drawn(seed=4)
    assert first != drawn(seed=5)
    assert len(set(first[0])) == 5


def test_values_of_a_hypertable_are_drawn_over_all_of_its_time(synced: Database) -> None:
    engine.cutover(synced.dsn, "player_stats", accept=frozenset({"all"}))
    engine.finish(synced.dsn, "player_stats")
    report = measure(synced, DAY, runs=1, draws=20)
    assert report.before is None
    assert of(measure(synced, DAY, runs=1, draws=20), "day").query.drawn == of(report, "day").query.drawn
    days = {values[0][:10] for values in of(report, "day").query.drawn if values[0]}
    assert len(days) > 8


def test_the_costliest_statements_are_taken_where_no_file_is_given(synced: Database) -> None:
    synced.execute("CREATE VIEW totals AS SELECT player_id, sum(value) AS total FROM player_stats GROUP BY 1")
    synced.execute("CREATE EXTENSION pg_stat_statements")
    with synced.connect() as conn:
        for number in range(SO_OFTEN):
            conn.execute(f"SELECT * FROM player_stats WHERE player_id = {number} AND game_date > '2024-01-10' LIMIT 5")  # type: ignore[arg-type]
            conn.execute("SELECT count(*) FROM public.player_stats WHERE game_date > now() - interval '3 years'")
            conn.execute("UPDATE player_stats SET value = 1 WHERE id = 1")
            conn.execute("SELECT total FROM totals WHERE player_id = 5")
        conn.execute("SELECT 1 FROM pg_class WHERE relname = 'player_stats'")
    report = measure(synced, None)
    found = {outcome.query.sql: outcome.query.calls for outcome in report.outcomes}
    assert found == {
        "SELECT * FROM player_stats WHERE player_id = $1 AND game_date > $2 LIMIT $3": SO_OFTEN,
        "SELECT total FROM totals WHERE player_id = $1": SO_OFTEN,
    }
    assert {each.sql.split()[0] for each in report.left_out} == {"SELECT"}
    assert next(each for each in report.left_out if each.sql.startswith("SELECT")).unknown == (1,)


def test_without_statements_it_says_where_to_get_them(synced: Database) -> None:
    with pytest.raises(Usage, match="pg_stat_statements is not in this database"):
        measure(synced, None)
    synced.execute("CREATE EXTENSION pg_stat_statements")
    with synced.connect() as conn:
        for _ in range(SO_OFTEN):
            conn.execute("SELECT count(*) FROM player_stats WHERE player_id = 1")
    role = synced.make_role()
    synced.execute(f'GRANT SELECT ON player_stats TO "{role}"')
    with pytest.raises(Failed) as hidden:
        bench(BenchOptions(synced.dsn_as(role), "player_stats", alone=True))
    assert "pg_read_all_stats" in str(hidden.value)


def test_an_empty_table_gives_no_values(db: Database) -> None:
    db.execute(TABLE + "TRUNCATE player_stats")
    with pytest.raises(Failed, match="too few rows"):
        measure(db, POINT)


def test_a_plan_made_once(synced: Database) -> None:
    report = measure(synced, POINT, generic=True)
    assert report.plans == "generic"

    def planning(found: Report) -> float:
        return statistics.median(run.planning_ms for run in of(found, "point").after.runs)

    assert planning(report) < planning(measure(synced, POINT))


def test_a_query_without_parameters_is_planned_each_time_too(synced: Database) -> None:
    text = "-- name: text\nSELECT * FROM player_stats WHERE id = 1500;"

    def planning(found: Report, name: str) -> float:
        return statistics.median(run.planning_ms for run in of(found, name).after.runs)

    report = measure(synced, POINT + text)
    assert planning(report, "text") > planning(report, "point") / 10
    once = measure(synced, text, generic=True)
    assert planning(once, "text") < planning(report, "text") / 2


def test_a_cold_cache_is_measured_where_it_can_be(synced: Database) -> None:
    without = measure(synced, POINT, cold=True)
    assert "pg_buffercache is not in this database" in without.cold
    synced.execute("CREATE EXTENSION pg_buffercache")
    report = measure(synced, POINT, cold=True)
    cold = of(report, "point").after.cold
    assert cold[0].read > 0
    # Others on this server may have had the buffers of one run meanwhile.
    assert min(run.read for run in of(report, "point").after.runs) == 0


def test_it_can_be_interrupted(synced: Database) -> None:
    stop = threading.Event()
    slow = "-- name: slow\nSELECT count(*) FROM player_stats a, player_stats b, player_stats c"
    threading.Timer(1.0, stop.set).start()
    begun = time.monotonic()
    with pytest.raises(Interrupted):
        bench(BenchOptions(synced.dsn, "player_stats", queries=(slow, "q"), timeout=60), stop=stop)
    assert time.monotonic() - begun < 30


def test_a_cutover_meanwhile_is_noticed(synced: Database) -> None:
    swapped = []

    def swap(text: str) -> None:
        if text.startswith("Round 2") and not swapped:
            swapped.append(engine.cutover(synced.dsn, "player_stats", accept=frozenset({"all"})))

    with pytest.raises(Refused, match="moved on"):
        bench(BenchOptions(synced.dsn, "player_stats", queries=(POINT, "q"), runs=3), say=swap)


def test_compressed_chunks_are_chunks_too(community_db: Database) -> None:
    db = community_db
    db.execute(TABLE)
    make(db)
    engine.cutover(db.dsn, "player_stats", accept=frozenset({"all"}))
    db.execute(
        "ALTER TABLE player_stats SET (timescaledb.compress, timescaledb.compress_segmentby = 'player_id', "
        "timescaledb.compress_orderby = 'game_date')"
    )
    db.execute("SELECT compress_chunk(c) FROM show_chunks('player_stats') AS c")
    report = measure(db, DAY + "-- name: all\nSELECT count(*) FROM player_stats WHERE value > 3")
    whole = of(report, "all")
    assert {run.chunks for run in whole.after.runs} == {report.after.chunk_count}
    assert whole.after.shape is not None
    assert whole.after.shape.decompressed
    assert not [line for line in whole.after.shape.lines if "compress_hyper" in line]
    assert {run.chunks for run in of(report, "day").after.runs} <= {1, 2, 3}


def test_it_can_be_asked_of_a_standby(server: Server) -> None:
    with own_server(server.release) as own:
        database = make_database(own)
        database.execute(TABLE)
        make(database)
        with standby_of(own) as standby:
            dsn = make_conninfo(standby.dsn, dbname=database.name)
            report = bench(BenchOptions(dsn, "player_stats", queries=(POINT, "q"), runs=1, draws=1))
    assert of(report, "point").after.runs[0].chunks


def test_it_says_when_statements_were_dropped_for_room(synced: Database) -> None:
    synced.execute("CREATE EXTENSION pg_stat_statements")
    most = int(synced.execute("SELECT current_setting('pg_stat_statements.max')")[0][0])
    with synced.connect() as conn:
        for number in range(most + most // 10):  # names and constants make no other statement, operators do
            conn.execute("SELECT 1" + "".join("+1" if bit == "1" else "-1" for bit in f"{number:014b}"))  # type: ignore[arg-type]
    with pytest.raises(Failed) as dropped:
        bench(BenchOptions(synced.dsn, "player_stats", alone=True))
    assert "pg_stat_statements.max = " in str(dropped.value)


NAPS = """
CREATE FUNCTION naps(oid, here float8, there float8) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN
    PERFORM pg_sleep(CASE WHEN relnamespace::regnamespace::text = 'public' THEN here ELSE there END) FROM pg_class WHERE oid = $1;
    RETURN true;
END $$
"""


def test_a_loss_with_some_of_the_values_is_a_loss(stats: Database) -> None:
    make(stats, interval="365 days")
    stats.execute(NAPS)
    query = (
        "-- name: some\n-- param 1: id\n-- param 2: CASE WHEN id % 2 = 0 THEN 0.05 ELSE 0 END\n"
        "SELECT * FROM player_stats WHERE id = $1 AND naps(tableoid, 0, $2);"
    )
    report = measure(stats, query, runs=10, draws=5, ignored=10)
    some = of(report, "some")
    slow = sum(values[1] == "0.05" for values in some.query.drawn)
    assert 0 < slow < 3, some.query.drawn
    assert some.verdict is Verdict.SLOWER
    assert any(f"{slow} of 5 sets of values are slower" in note for note in some.notes)
    assert some.causes


def test_a_time_limit_that_leaves_no_room_above_before_says_nothing_of_a_loss(synced: Database) -> None:
    synced.execute(NAPS)
    report = measure(synced, "-- name: near\nSELECT * FROM player_stats WHERE id = 1 AND naps(tableoid, 1, 3)", timeout=1.15)
    near = of(report, "near")
    assert near.verdict is Verdict.NOT_MEASURED
    assert "raise --timeout" in (near.after.error or "")
    assert not report.failed


@pytest.mark.parametrize("row", ["tableoid", "1"])
def test_a_query_that_is_slow_the_first_time_alone_is_measured(synced: Database, row: str) -> None:
    """In its run, or in being planned, where what has no column is evaluated."""
    synced.execute(
        "CREATE FUNCTION once(oid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN "
        "IF NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) THEN "
        "PERFORM pg_advisory_lock_shared(42); PERFORM pg_sleep(3); END IF; RETURN true; END $$"
    )
    report = measure(synced, f"-- name: cold\nSELECT count(*) FROM player_stats WHERE id = 1 AND once({row})", timeout=1.5)
    assert of(report, "cold").after.runs, of(report, "cold")


def test_before_is_run_where_after_is_refused(synced: Database) -> None:
    report = measure(synced, "-- name: neither\nSELECT id, player_id / (id - id) FROM player_stats GROUP BY id;" + POINT)
    neither = of(report, "neither")
    assert neither.verdict is Verdict.NOT_MEASURED
    assert neither.before is not None
    assert "division by zero" in (neither.before.error or "")


@pytest.mark.parametrize("swapped", [False, True])
def test_what_has_no_value_is_not_drawn_for_an_inferred_parameter(synced: Database, swapped: bool) -> None:
    synced.execute("ALTER TABLE player_stats DISABLE TRIGGER USER; UPDATE player_stats SET value = value")
    for table in ("public.player_stats", "hyperferry_new_1.player_stats"):
        synced.execute(f"ALTER TABLE {table} ADD score int, ADD nothing int; UPDATE {table} SET score = id WHERE id % 40 = 0")
    queries = (
        "-- name: score\nSELECT * FROM player_stats WHERE score = $1;-- name: any\nSELECT * FROM player_stats WHERE score = ANY($1);"
        "-- name: said\n-- param 1: score\nSELECT * FROM player_stats WHERE score = $1;"
        "-- name: nothing\nSELECT * FROM player_stats WHERE nothing = $1;"
    )
    table = "hyperferry_new_1.player_stats" if swapped else "player_stats"
    queries = queries.replace("FROM player_stats", f"FROM {table}")
    report = measure(synced, queries, table, draws=5, alone=True)
    for name in ("score", "any"):
        assert len(of(report, name).query.drawn) == 5
        assert {run.rows for run in of(report, name).after.runs} == {1}
    assert "of the rows looked at" in reasons(report)["nothing"]
    said = of(report, "said")
    empty = sum(values == (None,) for values in said.query.drawn)
    assert empty
    assert any(f"{empty} of 5 sets of values hold a NULL" in note for note in said.notes)


def test_a_column_that_is_almost_always_null_does_not_have_the_whole_table_read(stats: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its values are looked for in some pages, and in some hundred times as many at most."""
    stats.execute(
        "ALTER TABLE player_stats ADD score int, ADD filler text STORAGE PLAIN; "
        "INSERT INTO player_stats (player_id, stat_type, value, game_date, score, filler) "
        "SELECT 1, 'x', 1, '2024-02-01', CASE WHEN i = 600 THEN i END, repeat('x', 7000) FROM generate_series(1, 1000) AS i; ANALYZE player_stats"
    )
    monkeypatch.setattr("hyperferry.benchmark.draw.PAGES", 1)
    queries = POINT + "-- name: score\nSELECT * FROM player_stats WHERE score = $1"
    [left] = measure(stats, queries, alone=True).left_out
    assert left.name == "score"
    assert "of the rows looked at, 0 hold a value in" in left.reason
    assert "-- param N: EXPRESSION" in left.remedy


def test_values_that_take_too_long_to_draw_leave_their_query_out(stats: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    stats.execute(
        "CREATE FUNCTION slow(bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM pg_sleep(10); RETURN $1; END $$"
    )
    monkeypatch.setattr("hyperferry.benchmark.story.LOOKS_SECONDS", 1.0)
    slow = "-- name: slow\n-- param 1: public.slow(id)\nSELECT * FROM player_stats WHERE id = $1"
    report = measure(stats, POINT + slow, alone=True, timeout=1)
    assert of(report, "point").after.runs
    [left] = report.left_out
    assert left.name == "slow"
    assert "longer than 1 s" in left.reason


def test_it_can_be_interrupted_while_values_are_drawn(stats: Database) -> None:
    stats.execute(
        "CREATE FUNCTION slow(bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM pg_sleep(60); RETURN $1; END $$"
    )
    stop = threading.Event()
    slow = "-- name: slow\n-- param 1: public.slow(id)\nSELECT * FROM player_stats WHERE id = $1"
    threading.Timer(2.0, stop.set).start()
    begun = time.monotonic()
    with pytest.raises(Interrupted):
        bench(BenchOptions(stats.dsn, "player_stats", queries=(slow, "q"), alone=True), stop=stop)
    assert time.monotonic() - begun < 30


def test_what_writing_views_into_a_query_breaks_is_left_out(stats: Database) -> None:
    stats.execute(
        "CREATE VIEW totals AS SELECT player_id AS who, sum(value) AS total FROM player_stats GROUP BY 1;"
        "CREATE FUNCTION good(totals) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';"
        "CREATE FUNCTION good(pg_class) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'"
    )
    make(stats)
    report = measure(
        stats,
        POINT + "-- name: named alike\nWITH totals AS (SELECT * FROM public.totals) SELECT * FROM totals;"
        "-- name: by type\nSELECT x.who FROM totals x WHERE good(x)",
    )
    left = {each.name: each for each in report.left_out}
    assert set(left) == {"named alike", "by type"}
    assert "public.totals" in left["named alike"].reason
    assert "good(record)" in left["by type"].reason
    assert all("--alone --save" in each.remedy for each in left.values())


def test_statements_that_are_hidden_are_said_where_others_are_seen(synced: Database) -> None:
    synced.execute("CREATE EXTENSION pg_stat_statements")
    role = synced.make_role()
    synced.execute(f'GRANT SELECT ON player_stats TO "{role}"')
    with synced.connect() as conn:
        conn.execute("SELECT count(*) FROM player_stats WHERE player_id = 1")
        conn.execute(f'SET SESSION AUTHORIZATION "{role}"')  # type: ignore[arg-type]
        for _ in range(SO_OFTEN):
            conn.execute("SELECT * FROM player_stats WHERE id = 1")
    report = bench(BenchOptions(synced.dsn_as(role), "player_stats", alone=True, runs=1))
    assert report.outcomes
    assert any("hidden from this role" in note and "pg_read_all_stats" in note for note in report.notes)


def test_a_bare_column_of_a_subquerys_relation_is_not_taken_for_the_tables(stats: Database) -> None:
    stats.execute("CREATE TABLE awards (id int, player_id text)")
    awards = "SELECT * FROM player_stats WHERE id IN (SELECT a.id FROM awards a WHERE player_id = $1)"
    report = measure(stats, POINT + f"-- name: awards\n{awards}", alone=True)
    assert "write it qualified" in reasons(report)["awards"]


def test_another_tables_column_of_the_times_name_is_no_condition_on_the_time(synced: Database) -> None:
    synced.execute("CREATE TABLE games (player_id int, game_date timestamptz); INSERT INTO games SELECT 7, '2024-01-20'")
    joined = "SELECT s.* FROM player_stats s JOIN games g ON g.player_id = s.player_id WHERE g.game_date > '2024-01-10'"
    report = measure(
        synced,
        f"-- name: theirs\n{joined};-- name: both\n{joined} AND s.game_date > '2024-01-10';"
        f"-- name: joined\n{joined} AND s.game_date = g.game_date",
    )
    shapes = {outcome.query.name: outcome.after.shape for outcome in report.outcomes}
    assert {name: shape and shape.time_condition for name, shape in shapes.items()} == {"theirs": False, "both": True, "joined": True}
    assert "no-time-predicate" in codes(report, "theirs")


def test_other_planner_settings_on_both_sides_are_said(stats: Database) -> None:
    def under(work_mem: str, **more: Report) -> Report:
        dsn = make_conninfo(stats.dsn, options=f"-cwork_mem={work_mem}")
        return bench(BenchOptions(dsn, "player_stats", queries=None if more else (POINT, "q"), runs=1, draws=1, **more))  # type: ignore[arg-type]

    kept = under("5MB")
    said = of(under("9MB", against=kept), "point").notes
    assert "planned under other settings: work_mem is 5MB before and 9MB after" in said
