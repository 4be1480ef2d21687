"""Findings on real servers: each provoked, found, mended, and gone."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from hyperferry import engine
from hyperferry.catalog import health as catalog_health
from hyperferry.db import connect
from hyperferry.errors import Refused, Usage
from hyperferry.health import run
from hyperferry.maintenance.look import gather
from hyperferry.model.health import HealthReport
from hyperferry.model.plan_options import PlanOptions
from servers import Database

from .conftest import SENSORS, chunks, examine, fill, keep_well, of, rules, settle


def test_a_table_in_good_order_has_nothing_to_say(db: Database) -> None:
    db.execute(SENSORS)
    fill(db, 900)
    report = examine(db)
    assert [finding for finding in report.findings if finding.level != "note"] == []
    assert report.figures["chunks"] in (3, 4)
    assert report.figures["rows"] == 900
    assert report.figures["chunks_a_year_expected"] == 365


def test_dead_rows_are_found_and_vacuumed(sensors: Database) -> None:
    fill(sensors, 9_000)
    sensors.execute("DELETE FROM sensors WHERE sensor < 20")
    [found] = of(settled(sensors), "dead-rows")
    assert "(40 %), vacuumed never" in found.message
    assert found.command == "hyperferry maintain public.sensors --only vacuum"
    report = keep_well(sensors, "sensors", "vacuum")
    assert {outcome.state for outcome in report.outcomes} == {"done"}
    assert "dead-rows" not in rules(sensors)
    assert keep_well(sensors, "sensors", "vacuum").tasks == ()


def test_autovacuum_that_is_off_is_told(sensors: Database) -> None:
    fill(sensors, 90)
    [found] = of(examine(sensors), "autovacuum-off")
    assert found.level == "warning"
    for chunk in chunks(sensors):
        sensors.execute(f"ALTER TABLE {chunk} RESET (autovacuum_enabled)")
    assert "autovacuum-off" not in rules(sensors)


def test_bloated_indexes_are_found_rebuilt_and_small_again(sensors: Database) -> None:
    sensors.execute("SELECT set_chunk_time_interval('sensors', interval '10 years')")
    fill(sensors, 60_000)
    assert "index-bloat" not in rules(sensors)
    sensors.execute("DELETE FROM sensors WHERE id % 20 <> 0")
    settle(sensors)
    keep_well(sensors, "sensors", "vacuum", "analyze")
    before = index_bytes(sensors)
    [found] = of(examine(sensors), "index-bloat")
    assert found.command == "hyperferry maintain public.sensors --only reindex"
    report = keep_well(sensors, "sensors", "reindex")
    assert report.outcomes
    assert {outcome.state for outcome in report.outcomes} == {"done"}
    assert index_bytes(sensors) < before / 3
    assert "index-bloat" not in rules(sensors)


def test_the_estimate_of_bloat_is_near_what_is_measured(sensors: Database) -> None:
    sensors.execute("SELECT set_chunk_time_interval('sensors', interval '10 years')")
    sensors.execute("CREATE EXTENSION pgstattuple")
    fill(sensors, 60_000)
    assert not {"table-bloat", "index-bloat"} & rules(sensors)
    assert not {"table-bloat", "index-bloat"} & rules(sensors, exact=True)
    sensors.execute("DELETE FROM sensors WHERE id % 4 <> 0")
    settle(sensors)
    keep_well(sensors, "sensors", "vacuum", "analyze")
    estimated, measured = examine(sensors).figures, examine(sensors, exact=True).figures
    assert (estimated["bloat_measured"], measured["bloat_measured"]) == (False, True)
    for kind in ("table_bloat_bytes", "index_bloat_bytes"):
        assert measured[kind] > 1_000_000
        assert estimated[kind] == pytest.approx(measured[kind], rel=0.25)


def test_measuring_says_what_it_lacks(sensors: Database) -> None:
    fill(sensors, 90)
    with pytest.raises(Refused, match="not in this database"):
        examine(sensors, exact=True)
    role = sensors.make_role()
    sensors.execute("CREATE EXTENSION pgstattuple")
    sensors.execute(f'ALTER TABLE sensors OWNER TO "{role}"')
    with pytest.raises(Refused, match="this role may not call"):
        examine(sensors, role=role, exact=True)


def test_chunks_that_were_never_analyzed_are_found_and_analyzed(sensors: Database) -> None:
    fill(sensors, 0 + 90)
    sensors.execute(
        "INSERT INTO sensors (at, sensor, place) SELECT now() - interval '30 days' + i * interval '1 s', 1, 'x' FROM generate_series(1, 2000) i"
    )
    report = settled(sensors)
    [found] = of(report, "stale-statistics")
    assert "never analyzed" in found.message
    done = keep_well(sensors, "sensors", "analyze")
    assert [(outcome.task.kind, outcome.state) for outcome in done.outcomes] == [("analyze", "done")]
    assert "stale-statistics" not in rules(sensors)


def test_an_index_that_nobody_uses_is_named_and_keys_never_are(sensors: Database) -> None:
    fill(sensors, 9_000)
    with sensors.connect() as conn:
        conn.execute("SET enable_seqscan = off")
        for _ in range(3):
            conn.execute("SELECT count(*) FROM sensors WHERE sensor = 7 AND at > now() - interval '12 hours'")
    sensors.execute("CREATE INDEX sensors_place_idx ON sensors (place)")
    sensors.execute("ANALYZE sensors")
    assert of(settled(sensors), "unused-indexes") == []  # nothing of it is a week old

    def named() -> str:
        with connect(sensors.dsn) as conn:
            _, facts = gather(conn, "sensors")
        week = facts.now - 8 * 86_400
        assert facts.oldest_chunk is not None
        assert facts.now - 600 < facts.oldest_chunk <= facts.now
        assert facts.statistics_since is not None
        older = replace(facts, statistics_since=week, oldest_chunk=week)
        return "\n".join(finding.message for finding in run(older) if finding.rule == "unused-indexes")

    assert "sensors_place_idx" in named()
    assert "sensors_pkey" not in named()
    sensors.execute("DROP INDEX sensors_place_idx")
    assert "sensors_place_idx" not in named()


def test_from_when_on_a_hypertable_serves_is_known_after_its_rollout_too(db: Database) -> None:
    db.execute("CREATE TABLE plain (id bigint PRIMARY KEY, at timestamptz NOT NULL)")
    db.execute("INSERT INTO plain SELECT i, now() - i * interval '1 hour' FROM generate_series(1, 60) AS i")
    db.execute("CREATE INDEX ON plain (at)")
    engine.start(db.dsn, None, engine.make_plan(db.dsn, "plain", "at", PlanOptions(chunk_interval="1 day")))

    def known() -> tuple[str | None, float | None]:
        with connect(db.dsn) as conn:
            _, facts = gather(conn, "plain")
        phase = None if facts.rollout is None else facts.rollout.phase
        return phase, None if facts.serves_since is None else facts.now - facts.serves_since

    assert known() == ("synced", None)
    engine.cutover(db.dsn, "plain", accept=frozenset({"all"}))
    phase, age = known()
    assert (phase, age is not None and 0 <= age < 600) == ("cut_over", True)
    engine.finish(db.dsn, "plain")
    phase, age = known()
    assert (phase, age is not None and 0 <= age < 600) == (None, True)


def test_duplicate_and_covered_indexes_are_named(sensors: Database) -> None:
    fill(sensors, 90)
    sensors.execute('CREATE INDEX "Same again" ON sensors (sensor, at)')
    sensors.execute("CREATE INDEX sensors_short_idx ON sensors (sensor)")
    found = of(examine(sensors), "duplicate-indexes")
    assert {finding.level for finding in found if "Same again" in finding.message} == {"warning"}
    assert any("sensors_short_idx is the beginning of" in finding.message for finding in found)


def test_a_chunk_without_an_index_is_named(sensors: Database) -> None:
    fill(sensors, 90)
    first = chunks(sensors)[0]
    name = sensors.execute(
        f"SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = '{first}'::regclass AND NOT indisunique LIMIT 1"
    )[0][0]
    sensors.execute(f"DROP INDEX {name}")
    [found] = of(examine(sensors), "missing-indexes")
    assert first.split(".")[1].strip('"') in found.message


def test_rows_in_the_far_future_and_empty_chunks_are_told(sensors: Database) -> None:
    fill(sensors, 90)
    assert not {"future-chunks", "empty-chunks"} & rules(sensors)
    sensors.execute("INSERT INTO sensors (at, sensor, place) VALUES ('2126-01-01', 1, 'x'), (now() - interval '80 days', 1, 'x')")
    sensors.execute("DELETE FROM sensors WHERE at < now() - interval '70 days'")
    sensors.execute("VACUUM (ANALYZE) sensors")
    report = settled(sensors)
    [far] = of(report, "future-chunks")
    assert "2126-01-01" in far.message
    [empty] = of(report, "empty-chunks")
    assert "1 chunk of" in empty.message
    sensors.execute("SELECT drop_chunks('sensors', newer_than => timestamptz '2100-01-01')")
    remedy = empty.remedy.partition("for instance: ")[2].partition("  (on")[0]
    old = chunks(sensors)[0]
    sensors.execute("INSERT INTO sensors (at, sensor, place) VALUES (now() - interval '80 days', 1, 'late')")
    sensors.execute(remedy)
    assert chunks(sensors)[0] == old  # a row came meanwhile
    sensors.execute("DELETE FROM sensors WHERE place = 'late'")
    sensors.execute(remedy)
    assert old not in chunks(sensors)
    assert not {"future-chunks", "empty-chunks"} & rules(sensors)
    sensors.execute("INSERT INTO sensors (at, sensor, place) VALUES (now() - interval '80 days', 1, 'again')")


def forgotten(sensors: Database) -> None:
    """Two old chunks with rows that nothing was ever counted of, and the server's own counts gone, as after a crash."""
    fill(sensors, 90)
    sensors.execute(
        "INSERT INTO sensors (at, sensor, place) SELECT now() - (i % 2 + 30) * interval '1 day', 1, 'x' FROM generate_series(1, 1000) i"
    )
    settle(sensors)
    sensors.execute("SELECT pg_stat_reset()")


def test_what_was_not_measured_is_not_called_empty(sensors: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten(sensors)
    assert "empty-chunks" not in rules(sensors)
    monkeypatch.setattr(catalog_health, "MOST", 1)  # as with thousands of such chunks
    report = examine(sensors)
    assert of(report, "empty-chunks") == []
    assert report.figures["chunks_empty"] == 0
    assert any("that were never analyzed" in finding.message for finding in of(report, "not-seen"))


def test_a_chunk_that_somebody_holds_is_not_called_empty(sensors: Database) -> None:
    forgotten(sensors)
    with sensors.connect(autocommit=False) as conn:
        conn.execute(f"LOCK TABLE {chunks(sensors)[0]} IN ACCESS EXCLUSIVE MODE")
        assert "empty-chunks" not in rules(sensors)
        conn.rollback()


def test_a_chunk_that_was_analyzed_while_it_was_empty_is_looked_at_again(sensors: Database) -> None:
    fill(sensors, 90)
    sensors.execute("INSERT INTO sensors (at, sensor, place) VALUES (now() - interval '80 days', 1, 'x')")
    sensors.execute("DELETE FROM sensors WHERE at < now() - interval '70 days'")
    sensors.execute("VACUUM (ANALYZE) sensors")
    sensors.execute("INSERT INTO sensors (at, sensor, place) SELECT now() - interval '80 days', 1, 'y' FROM generate_series(1, 10)")
    settle(sensors)
    assert "empty-chunks" not in rules(sensors)
    sensors.execute("SELECT pg_stat_reset()")  # as after a crash
    assert "empty-chunks" not in rules(sensors)


def test_a_time_beyond_pythons_dates_is_no_trouble(sensors: Database) -> None:
    sensors.execute("INSERT INTO sensors (at, sensor, place) VALUES ('200000-01-01', 1, 'x'), ('2000-01-01 BC', 1, 'y')")
    [far] = of(examine(sensors), "future-chunks")
    assert "200000-01-01" in far.message


@pytest.mark.slow
def test_old_transaction_ids_are_found_and_frozen(sensors: Database) -> None:
    fill(sensors, 90)
    for chunk in chunks(sensors):
        sensors.execute(f"ALTER TABLE {chunk} SET (autovacuum_freeze_max_age = 100000)")
    assert "wraparound" not in rules(sensors)
    with sensors.connect(autocommit=False) as old:
        # Autovacuum, which may come at any moment, freezes nothing before this snapshot ends.
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT 1")
        with sensors.connect() as conn:
            conn.execute(
                "DO $$ BEGIN FOR i IN 1..130000 LOOP BEGIN PERFORM pg_current_xact_id(); "
                "RAISE EXCEPTION 'x'; EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END $$"
            )
        if "wraparound" not in rules(sensors):
            burn(sensors, 130_000)
        [found] = of(examine(sensors), "wraparound")
        report = keep_well(sensors, "sensors", "vacuum", dry_run=True)
        old.rollback()
    assert found.level == "warning"
    assert all(task.freeze for task in report.tasks)
    assert report.tasks
    keep_well(sensors, "sensors", "vacuum")
    assert "wraparound" not in rules(sensors)


def burn(db: Database, number: int) -> None:
    """Uses up transaction ids."""
    with db.connect() as conn:
        for _ in range(number // 1000):
            conn.execute("DO $$ BEGIN FOR i IN 1..1000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")


def settled(db: Database) -> HealthReport:
    """The health, once the statistics of other sessions' writes have arrived."""
    settle(db)
    return examine(db)


def index_bytes(db: Database) -> int:
    """Bytes of all indexes of all chunks."""
    return int(db.execute("SELECT sum(pg_indexes_size(c)) FROM show_chunks('sensors') AS c")[0][0])


@pytest.fixture
def odd(db: Database) -> Database:
    """A hypertable of an odd name, with an integer time, as an ordinary role's."""
    name = "Weird \"\"Näme" + "x" * 50
    db.execute('CREATE SCHEMA "my.schema"')
    db.execute(f'CREATE TABLE "my.schema"."{name}" ("the Time" bigint NOT NULL, "Vä""lue" text)')
    db.execute(f"""SELECT create_hypertable('"my.schema"."{name}"', 'the Time', chunk_time_interval => 1000)""")
    db.execute(f'INSERT INTO "my.schema"."{name}" SELECT i, i::text FROM generate_series(0, 4999) AS i')
    db.execute(f'CREATE INDEX "Indéx %" ON "my.schema"."{name}" ("Vä""lue")')
    return db


def test_odd_names_and_integer_times(odd: Database) -> None:
    name = odd.execute("SELECT format('%I.%I', hypertable_schema, hypertable_name) FROM timescaledb_information.hypertables")[0][0]
    role = odd.make_role("Owner")
    odd.execute(f'GRANT USAGE, CREATE ON SCHEMA "my.schema" TO "{role}"')
    odd.execute(f'ALTER TABLE {name} OWNER TO "{role}"')
    report = examine(odd, name, role=role)
    assert report.figures["chunks"] == 5
    assert report.figures["chunk_interval"] == 1000
    assert any("no function tells the present" in finding.message for finding in of(report, "not-seen"))
    done = keep_well(odd, name, role=role, everything=True)
    assert {outcome.state for outcome in done.outcomes} == {"done"}
    assert len(done.outcomes) == 5 * (1 + 1 + 2)


def test_what_is_no_hypertable_is_refused(db: Database) -> None:
    db.execute("CREATE TABLE plain (id int); CREATE VIEW seen AS SELECT * FROM plain")
    with pytest.raises(Usage, match="plain is not a hypertable") as plain:
        examine(db, "plain")
    assert plain.value.facts["it is"] == "a plain table"
    with pytest.raises(Usage, match="seen is not a hypertable") as seen:
        examine(db, "seen")
    assert seen.value.facts["it is"] == "a view"
    with pytest.raises(Usage, match="There is no table nowhere"):
        examine(db, "nowhere")
    with pytest.raises(Usage, match="plain is not a hypertable"):
        keep_well(db, "plain")


def test_a_role_without_rights_is_refused(sensors: Database) -> None:
    fill(sensors, 90)
    role = sensors.make_role()
    with pytest.raises(Refused, match="may not look into"):
        examine(sensors, role=role)
    sensors.execute(f'GRANT SELECT ON sensors TO "{role}"')
    assert examine(sensors, role=role).figures["chunks"] >= 3
    with pytest.raises(Refused, match="may not maintain"):
        keep_well(sensors, role=role, everything=True)
    sensors.execute(f'ALTER TABLE sensors OWNER TO "{role}"')
    assert {outcome.state for outcome in keep_well(sensors, role=role, everything=True).outcomes} == {"done"}


def test_an_owner_of_another_table_is_told_that_the_ledger_is_not_his(sensors: Database) -> None:
    """Somebody else, a superuser say, has moved a table in the same database."""
    fill(sensors, 90)
    sensors.execute("CREATE TABLE other (id bigint PRIMARY KEY, at timestamptz NOT NULL)")
    engine.start(sensors.dsn, None, engine.make_plan(sensors.dsn, "other", "at", PlanOptions(chunk_interval="1 day")))
    role = sensors.make_role()
    sensors.execute(f'ALTER TABLE sensors OWNER TO "{role}"')
    notes = [note.message for note in of(examine(sensors, role=role), "not-seen")]
    assert any("whether a rollout is open: the schema hyperferry of this database is" in note for note in notes)
    assert {outcome.state for outcome in keep_well(sensors, role=role, everything=True).outcomes} == {"done"}


def test_a_database_without_timescaledb_is_told(db: Database) -> None:
    db.execute("DROP EXTENSION timescaledb CASCADE")
    db.execute("CREATE TABLE plain (id int)")
    with pytest.raises(Usage, match="plain is not a hypertable"):
        examine(db, "plain")


def test_a_chunk_that_somebody_holds_exclusively_stops_nothing(sensors: Database) -> None:
    fill(sensors, 90)
    sensors.execute(
        "INSERT INTO sensors (at, sensor, place) SELECT now() - (i % 2 + 30) * interval '1 day', 1, 'x' FROM generate_series(1, 1000) i"
    )
    held = chunks(sensors)[0]
    with sensors.connect(autocommit=False) as conn:
        conn.execute(f"LOCK TABLE {held} IN ACCESS EXCLUSIVE MODE")
        report = examine(sensors)
        conn.rollback()
    # The other one was measured.
    assert any("the size of 1 chunks" in finding.message for finding in of(report, "not-seen"))
    assert report.figures["chunks"] == len(chunks(sensors))


def test_autovacuum_that_did_not_come(sensors: Database) -> None:
    fill(sensors, 30_000)
    with sensors.connect(autocommit=False) as busy:  # whose lock autovacuum passes by, should it come all the same
        for chunk in chunks(sensors):
            sensors.execute(f"ALTER TABLE {chunk} SET (autovacuum_enabled = true, autovacuum_vacuum_scale_factor = 0.1)")
            busy.execute(f"LOCK TABLE {chunk} IN SHARE UPDATE EXCLUSIVE MODE")
        sensors.execute("DELETE FROM sensors WHERE sensor < 20")
        [found] = of(settled(sensors), "autovacuum-behind")
        busy.rollback()
    assert "autovacuumed never" in found.message
    keep_well(sensors, "sensors", "vacuum")
    assert "autovacuum-behind" not in rules(sensors)


@pytest.mark.slow
def test_more_than_a_thousand_chunks_take_seconds_and_no_locks(db: Database) -> None:
    """Each chunk's size has to be measured here, since none was analyzed; even so none stays locked."""
    db.execute("CREATE TABLE many (at int NOT NULL); SELECT create_hypertable('many', 'at', chunk_time_interval => 10)")
    for start in range(0, 1_200, 100):
        db.execute(f"INSERT INTO many SELECT i * 10 FROM generate_series({start}, {start + 99}) AS i")
    most, ending = [0], threading.Event()

    def look_on() -> None:
        with db.connect() as conn:
            while not ending.wait(0.02):
                row = conn.execute(
                    "SELECT count(*) FROM pg_locks l JOIN pg_inherits i ON i.inhrelid = l.relation WHERE l.pid <> pg_backend_pid() "
                    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                ).fetchone()
                most[0] = max(most[0], row[0] if row else 0)

    thread = threading.Thread(target=look_on)
    thread.start()
    begun = time.monotonic()
    report = examine(db, "many")
    took = time.monotonic() - begun
    ending.set()
    thread.join()
    assert report.figures["chunks"] == 1_200
    assert report.figures["sizes_measured"] == 1_200
    assert took < 60, "a few seconds on a machine that has nothing else to do"
    assert most[0] <= 2
