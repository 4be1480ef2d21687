"""I1: capture has no gap."""

from __future__ import annotations

import uuid
from dataclasses import replace

import psycopg
import pytest
from job import HOURS, THIRDS, Job, Make, Rows, aside

from kit import tables

KEYED = """
CREATE TABLE p (id integer PRIMARY KEY);
INSERT INTO p SELECT generate_series(1, 9);
CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL, v text, p integer REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO t SELECT i, timestamptz '2024-01-01 00:00+00' + i * interval '1 hour', 'row ' || i, i FROM generate_series(1, 9) AS i;
CREATE INDEX t_at ON t (at);
"""

TEXTUAL = """
CREATE TYPE place AS (seat float8, since timestamptz);
CREATE TABLE t (
    at timestamptz NOT NULL, f4 real, f8 float8, fs float8[], d date, span interval, bin bytea, bins bytea[], js json, times timestamptz[],
    cash money, x xml, p point, pl place, spans interval[], doubled float8 GENERATED ALWAYS AS (f8 * 2) STORED
);
CREATE INDEX t_at ON t (at);
INSERT INTO t (at) VALUES ('2024-01-01');
"""
"""A table without a key, whose rows are told apart by a hash of their image: types whose text depends on settings."""

ODD = {
    "datestyle": "German, DMY",
    "intervalstyle": "sql_standard",
    "timezone": "Asia/Kathmandu",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "xmloption": "document",
    "search_path": "public",
}


def pairs(job: Job) -> Rows:
    """Each log row: what happened, the key, the hours of the time since 2024-01-01."""
    return job.run(
        "SELECT op::text, k1, (EXTRACT(epoch FROM t - '2024-01-01 00:00+00') / 3600)::int FROM {log} ORDER BY id"
    )


@pytest.fixture
def keyed(captured: Make) -> Job:
    """Nine rows of hours 1 to 9 that hang on nine parents, captured."""
    return captured(KEYED, options=THIRDS)


def settle(job: Job) -> None:
    """Copies, applies, compares."""
    job.copy_all().apply()
    assert job.backlog() == 0
    job.assert_equal()


# No writer slips by.


@pytest.mark.peer(number=2)
def test_writers_that_began_before_capture_are_waited_for(job: Make) -> None:
    made = job(HOURS, options=THIRDS)
    _ = made.plan
    with made.db.connect(autocommit=False) as writer:
        writer.execute("INSERT INTO t VALUES (500, '2024-01-03', 'before capture')")
        capturing = aside(made.cut)
        made.until_a_rollout_waits()
        assert not capturing.done()
        assert made.phase() == "planned"
        writer.execute("INSERT INTO t VALUES (501, '2024-01-03', 'still before')")
        writer.commit()
    capturing.result(60)
    assert made.backlog() == 0
    made.copy_all()
    assert made.value("SELECT count(*) FROM {shadow} WHERE id IN (500, 501)") == 2
    made.assert_equal()


@pytest.mark.peer(number=12)
def test_a_transaction_whose_snapshot_is_older_than_capture_is_logged(job: Make) -> None:
    made = job(HOURS, options=THIRDS)
    with made.application() as writer:
        writer.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        writer.execute("SELECT 1 FROM pg_class LIMIT 1")  # the snapshot; no lock on the table yet
        made.cut()
        writer.execute("DELETE FROM t WHERE id = 3")
        writer.execute("INSERT INTO t VALUES (500, '2024-01-03', 'x')")
        made.copy_all()
        writer.commit()
    assert made.ops() == "DI"
    made.apply()
    made.assert_equal()


def test_a_statement_that_was_prepared_before_capture_is_logged(job: Make) -> None:
    made = job(HOURS, options=THIRDS)
    with made.db.connect() as conn:
        conn.execute("PREPARE p AS UPDATE t SET v = 'prepared' WHERE id = $1")
        conn.execute("SET plan_cache_mode = force_generic_plan")
        conn.execute("EXECUTE p (1)")
        made.cut()
        conn.execute("EXECUTE p (2)")
    assert pairs(made) == [("U", 2, 2)]
    settle(made)


@pytest.mark.peer(number=12)
def test_rows_that_come_after_capture_and_before_the_batches_are_cut_are_covered(job: Make) -> None:
    made = job(HOURS, options=THIRDS).capture()
    made.run(
        "INSERT INTO {table} VALUES (0, '2001-01-01', 'x'), (999, '2033-01-01', 'y'); DELETE FROM {table} WHERE id = 101"
    )
    made.cut()
    made.run("INSERT INTO {table} VALUES (1000, '1980-01-01', 'z')")
    settle(made)


# Each kind of statement.


def test_insert_update_delete_leave_the_pairs_that_they_touch(keyed: Job) -> None:
    keyed.run("INSERT INTO {table} VALUES (10, '2024-01-01 10:00+00'), (11, '2024-01-01 11:00+00')")
    keyed.run("UPDATE {table} SET v = 'x' WHERE id IN (1, 2)")
    keyed.run("DELETE FROM {table} WHERE id > 9")
    found = pairs(keyed)
    assert found[:2] == [("I", 10, 10), ("I", 11, 11)]
    assert sorted(found[2:4]) == [("U", 1, 1), ("U", 2, 2)]
    assert sorted(found[4:]) == [("D", 10, 10), ("D", 11, 11)]
    settle(keyed)


@pytest.mark.peer(number=11)
def test_an_update_of_the_key_or_of_the_time_leaves_the_old_pair_and_the_new_one(keyed: Job) -> None:
    keyed.run("UPDATE {table} SET id = 21, at = '2024-01-01 21:00+00' WHERE id = 1")
    keyed.run("UPDATE {table} SET at = '2024-01-01 22:00+00' WHERE id = 2")
    found = pairs(keyed)
    assert sorted(found[:2]) == [("U", 1, 1), ("U", 21, 21)]
    assert sorted(found[2:]) == [("U", 2, 2), ("U", 2, 22)]
    settle(keyed)


def test_a_statement_that_touches_no_row_leaves_nothing(keyed: Job) -> None:
    keyed.run(
        "DELETE FROM {table} WHERE id = 77; UPDATE {table} SET v = 'x' WHERE false; INSERT INTO {table} SELECT * FROM {table} LIMIT 0"
    )
    assert keyed.backlog() == 0


def test_copy_is_logged(keyed: Job) -> None:
    with keyed.db.connect() as conn, conn.cursor().copy("COPY t (id, at) FROM STDIN") as sink:
        for number in range(10, 20):
            sink.write_row((number, f"2024-01-01 {number}:00+00"))
    assert pairs(keyed) == [("I", n, n) for n in range(10, 20)]
    settle(keyed)


def test_merge_is_logged_action_by_action(keyed: Job) -> None:
    keyed.run(
        "MERGE INTO {table} AS t USING (VALUES (1, 'update'), (2, 'delete'), (3, 'update'), (30, 'insert'), (31, 'insert')) AS w (id, what) "
        "ON t.id = w.id WHEN MATCHED AND w.what = 'delete' THEN DELETE WHEN MATCHED THEN UPDATE SET v = w.what "
        "WHEN NOT MATCHED THEN INSERT (id, at, v) VALUES (w.id, '2024-01-01 12:00+00', w.what)"
    )
    assert sorted(pairs(keyed)) == [("D", 2, 2), ("I", 30, 12), ("I", 31, 12), ("U", 1, 1), ("U", 3, 3)]
    settle(keyed)


def test_on_conflict_is_logged_as_what_it_did(keyed: Job) -> None:
    rows = "INSERT INTO {table} (id, at, v) VALUES (1, '2024-01-01 05:00+00', 'x'), (40, '2024-01-01 06:00+00', 'x') ON CONFLICT (id) DO "
    keyed.run(rows + "UPDATE SET v = 'conflict', at = excluded.at")
    assert sorted(pairs(keyed)) == [("I", 40, 6), ("U", 1, 1), ("U", 1, 5)]
    keyed.run(rows + "NOTHING")
    assert keyed.backlog() == 3
    settle(keyed)


def test_a_foreign_key_that_cascades_is_logged(keyed: Job) -> None:
    keyed.run("DELETE FROM p WHERE id = 3")
    keyed.run("UPDATE p SET id = 33 WHERE id = 4")
    assert pairs(keyed) == [("D", 3, 3), ("U", 4, 4)]
    settle(keyed)


def test_truncate_is_logged_also_when_it_cascades(keyed: Job) -> None:
    keyed.run("TRUNCATE {table}")
    keyed.run("TRUNCATE p CASCADE")
    assert keyed.run("SELECT op::text, k1, t FROM {log}") == [("T", None, None)] * 2
    settle(keyed)


def test_what_is_rolled_back_is_not_in_the_log(keyed: Job) -> None:
    with keyed.application() as conn:
        conn.execute("DELETE FROM t WHERE id = 1")
        conn.execute("SAVEPOINT s")
        conn.execute("DELETE FROM t WHERE id = 2")
        conn.execute("ROLLBACK TO SAVEPOINT s")
        conn.execute("SAVEPOINT s2")
        conn.execute("DELETE FROM t WHERE id = 3")
        conn.execute("RELEASE SAVEPOINT s2")
        conn.commit()
        conn.execute("TRUNCATE t")
        conn.rollback()
    assert pairs(keyed) == [("D", 1, 1), ("D", 3, 3)]
    settle(keyed)


def test_what_the_applications_own_triggers_make_of_a_row_is_what_is_logged(captured: Make) -> None:
    job = captured(
        HOURS
        + "CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.at := NEW.at + interval '1 hour'; "
        "RETURN NEW; END $$; CREATE TRIGGER a BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION later();"
        "CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "UPDATE t SET v = 'nested' WHERE id = NEW.id + 1 AND v <> 'nested'; RETURN NULL; END $$;"
        "CREATE TRIGGER z AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION again()",
        options=THIRDS,
    )
    job.run("INSERT INTO {table} VALUES (0, '2024-01-01 05:00+00', 'x')")
    assert sorted(pairs(job)) == [("I", 0, 6), ("U", 1, 1), ("U", 1, 2)]
    settle(job)


# Whoever writes, and however the session is set.


def test_it_fires_under_session_replication_role_replica(keyed: Job) -> None:
    with keyed.db.connect() as conn:
        conn.execute("SET session_replication_role = replica")
        conn.execute("INSERT INTO t VALUES (50, '2024-01-01 05:00+00')")
        conn.execute("UPDATE t SET v = 'x' WHERE id = 1")
        conn.execute("DELETE FROM t WHERE id = 2")
        conn.execute("TRUNCATE t")
    assert keyed.ops() == "IUDT"
    settle(keyed)


def test_a_role_without_any_right_on_the_ledger_can_write(keyed: Job) -> None:
    role = keyed.db.make_role()
    keyed.run(f'GRANT ALL ON {{table}}, p TO "{role}"')
    for statement in ("INSERT INTO t VALUES (50, '2024-01-01 05:00+00')", "UPDATE t SET v = 'x' WHERE id = 1",
                      "DELETE FROM t WHERE id = 2", "TRUNCATE t"):  # fmt: skip
        keyed.run(statement, role=role)
    assert keyed.ops() == "IUDT"
    for attempt in ("SELECT * FROM {log}", "DELETE FROM {log}", "SELECT hyperferry.forward_insert_1()"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            keyed.run(attempt, role=role)


def test_nobody_else_may_hang_our_functions_on_a_table_of_his(keyed: Job) -> None:
    role = keyed.db.make_role()
    keyed.run(f'GRANT CREATE ON SCHEMA public TO "{role}"; GRANT USAGE ON SCHEMA hyperferry TO "{role}"')
    trigger = "CREATE TRIGGER x AFTER TRUNCATE ON mine EXECUTE FUNCTION hyperferry.forward_truncate_1()"
    with keyed.db.connect(role) as conn:
        conn.execute("CREATE TABLE mine (id integer)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(trigger)
    assert keyed.backlog() == 0


def test_a_hostile_search_path_changes_nothing(captured: Make) -> None:
    """Names that our trigger functions use are made anew, before pg_catalog in the writer's path: tables, functions, operators,
    and the type `text`, through which the image of an array goes."""
    job = captured(
        "CREATE TABLE t (at timestamp NOT NULL, n integer, nums numeric[]); CREATE INDEX ON t (at);"
        "INSERT INTO t SELECT timestamp '2024-03-01' + i * interval '1 hour', i % 4, ARRAY[i] FROM generate_series(1, 40) AS i",
        options=THIRDS,
    )
    role = job.db.make_role("mallory")
    log = job.flow.log.as_string(None).split('"')[-2]
    job.run(f'GRANT ALL ON {{table}} TO "{role}"; CREATE SCHEMA evil AUTHORIZATION "{role}"')
    job.run(f'GRANT ALL ON SCHEMA public TO "{role}"')
    with job.db.connect(role) as conn:
        for schema in ("evil", "public", "pg_temp"):
            conn.execute(
                f"CREATE FUNCTION {schema}.hash_record_extended(record, integer) RETURNS bigint LANGUAGE plpgsql "
                "AS 'BEGIN RETURN 1; END';"
                f"CREATE TABLE {schema}.{log} (op text, h bigint, t timestamp);"
                f"CREATE FUNCTION {schema}.never(timestamp, timestamp) RETURNS boolean LANGUAGE sql AS 'SELECT false';"
                f"CREATE OPERATOR {schema}.= (LEFTARG = timestamp, RIGHTARG = timestamp, FUNCTION = {schema}.never);"
                f"CREATE DOMAIN {schema}.text AS pg_catalog.text CHECK (VALUE = 'nothing else')"
            )
        conn.execute("SET search_path = evil, public, pg_catalog")
        conn.execute(
            "INSERT INTO public.t SELECT at + interval '1 s', n, nums || 7.00 FROM public.t WHERE n = 1"
        )
        conn.execute("UPDATE public.t SET nums = NULL WHERE n = 2")
        conn.execute("DELETE FROM public.t WHERE n = 3")
        for schema in ("evil", "public", "pg_temp"):
            assert conn.execute(f"SELECT count(*) FROM {schema}.{log}").fetchone() == (0,)
    assert job.backlog() == 10 + 20 + 10
    settle(job)


def test_the_writers_settings_do_not_change_the_hash_of_a_row(captured: Make) -> None:
    job = captured(TEXTUAL, options=THIRDS)
    row = (
        "INSERT INTO t SELECT timestamptz '2024-06-01 12:00+00', 0.1::real, 1 / 3.0::float8, ARRAY[1 / 7.0::float8], "
        "date '2024-02-03', interval '1 year 2 days -03:04:05', '\\x00ff41'::bytea, ARRAY['\\x00ff41'::bytea], '{\"a\": 1}', "
        "ARRAY[timestamptz '2024-06-01 12:00+00'], 12.34::numeric::money, '<a/>', point(1 / 3.0::float8, 2), "
        "ROW(1 / 3.0::float8, timestamptz '2024-06-01 12:00+00')::public.place, ARRAY[interval '1 day -2 hours']"
    )
    job.db.execute(row)
    job.copy_all().apply()
    job.db.execute(row)
    with job.db.connect() as conn:
        for name, value in ODD.items():
            conn.execute("SELECT set_config(%s, %s, false)", [name, value])
        conn.execute(row)
        conn.execute("UPDATE t SET f4 = f4 WHERE f4 IS NOT NULL")
    assert job.value("SELECT count(DISTINCT h) FROM {log}") == 1
    job.apply()
    assert job.value("SELECT count(*) FROM {shadow}") == 4
    with job.db.connect() as conn:
        for name, value in ODD.items():
            conn.execute("SELECT set_config(%s, %s, false)", [name, value])
        conn.execute("DELETE FROM t WHERE f4 IS NOT NULL")
    job.apply()
    assert job.value("SELECT count(*) FROM {shadow}") == 1
    job.assert_equal()


NAMED = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TYPE moods AS RANGE (subtype = mood);
CREATE TYPE seat AS (n integer, m mood);
CREATE ROLE {role};
CREATE TABLE other (n integer);
CREATE FUNCTION work(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE TABLE t (at timestamptz NOT NULL, n integer, c regclass, cs regclass[], ty regtype, f regproc, r regrole, s regnamespace, a aclitem,
    m mood, ms mood[], mr moods, mm moods_multirange, pl seat, pls seat[], plain integer[]);
CREATE INDEX t_at ON t (at);
INSERT INTO t (at, n) SELECT timestamptz '2024-01-01' + i * interval '1 hour', i FROM generate_series(1, 20) AS i;
"""
"""A table without a key, of columns whose text follows what is done to other objects."""
RENAMED = {
    "a table": ("c", "'other'::regclass", "ALTER TABLE other RENAME TO another"),
    "a table that goes": ("c", "'other'::regclass", "DROP TABLE other"),
    "an array's table": ("cs", "ARRAY['other'::regclass]", "ALTER TABLE other RENAME TO another"),
    "a type": ("ty", "'mood'::regtype", "ALTER TYPE mood RENAME TO humour"),
    "a function": ("f", "'work'::regproc", "ALTER FUNCTION work RENAME TO labour"),
    "a role": ("r", "'{role}'::regrole", "ALTER ROLE {role} RENAME TO {role}_2"),
    "a role in a grant": ("a", "'{role}=r/postgres'::aclitem", "ALTER ROLE {role} RENAME TO {role}_2"),
    "a schema": ("s", "'nest'::regnamespace", "ALTER SCHEMA nest RENAME TO den"),
    "an enum's value": ("m", "'sad'", "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'"),
    "a value in an array": ("ms", "'{sad}'", "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'"),
    "a value in a range": ("mr", "'[glad,sad]'", "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'"),
    "a value in a multirange": ("mm", "'{[glad,sad]}'", "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'"),
    "a value in a row": ("pl", "ROW(1, 'sad')::seat", "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'"),
    "an attribute more": ("pl", "ROW(1, 'sad')::seat", "ALTER TYPE seat ADD ATTRIBUTE o integer"),
    "an attribute more in an array": ("pls", "ARRAY[ROW(1, 'sad')::seat]", "ALTER TYPE seat ADD ATTRIBUTE o integer"),
}


@pytest.mark.parametrize("what", RENAMED)
def test_what_becomes_of_other_objects_does_not_change_the_hash_of_a_row(captured: Make, what: str) -> None:
    """A row that is written before and applied afterwards is found, and one that is deleted before goes."""
    role = f"r_{uuid.uuid4().hex[:8]}"
    column, value, ddl = (text.replace("{role}", role) for text in RENAMED[what])
    job = captured("CREATE SCHEMA nest;" + NAMED.replace("{role}", role), options=THIRDS)
    try:
        job.db.execute(f"UPDATE t SET {column} = {value} WHERE n < 10")
        job.copy_all().apply()
        job.assert_equal()
        job.db.execute(f"INSERT INTO t (at, n, {column}) VALUES ('2024-01-01 01:00+00', 1, {value}), ('2024-02-02', 30, {value})")
        job.db.execute("UPDATE t SET plain = '{1,2}' WHERE n IN (3, 11)")
        job.db.execute("DELETE FROM t WHERE n IN (4, 12)")
        job.db.execute(ddl)
        settle(job)
        assert job.value("SELECT count(*) FROM {shadow}") == 20
    finally:
        job.db.execute("DROP TABLE IF EXISTS t CASCADE")
        for name in (role, f"{role}_2"):
            job.db.execute(f"DROP ROLE IF EXISTS {name}")


def test_a_rollout_keeps_the_hash_of_rows_that_it_began_with(job: Make) -> None:
    """One whose plan an older hyperferry made: what stands in its log is found, and what is written from now on. Its hash is of
    names as they are written."""
    made = job(
        "CREATE TABLE other (n integer); CREATE TABLE t (at timestamptz NOT NULL, n integer, c regclass, ns integer[]);"
        "CREATE INDEX t_at ON t (at); "
        "INSERT INTO t SELECT '2024-01-01 00:00+00', i, 'other', ARRAY[i] FROM generate_series(1, 9) AS i",
        options=THIRDS,
    )
    made.__dict__["plan"] = replace(made.plan, image=1)
    made.cut()
    made.db.execute("UPDATE hyperferry.rollout SET plan = plan::jsonb - 'image'")
    assert made.rollout.plan.image == 1
    made.copy_all().apply()
    row = "INSERT INTO t VALUES ('2024-01-01 00:00+00', 20, 'other', '{20}')"
    made.db.execute(row)
    texts = "'public.other'::text COLLATE \"C\", '{20}'::text COLLATE \"C\""
    before = f"SELECT hash_record_extended(ROW(timestamptz '2024-01-01 00:00+00', 20, {texts}), 0)"
    assert made.db.execute("SELECT h FROM hyperferry.forward_log_1") == made.db.execute(before)
    with made.db.connect() as conn:
        conn.execute(row)
        conn.execute("DELETE FROM t WHERE n < 5")
    settle(made)
    assert made.value("SELECT count(*) FROM {shadow}") == 9 - 4 + 2


def test_a_virtual_column_is_no_part_of_a_rows_image(captured: Make, db: object) -> None:
    if getattr(db, "release", "") == "stable":
        pytest.skip("PostgreSQL 17 has no virtual generated columns")
    job = captured(
        "CREATE TABLE t (at timestamptz NOT NULL, n integer, twice integer GENERATED ALWAYS AS (n * 2) VIRTUAL);"
        "CREATE INDEX ON t (at); INSERT INTO t SELECT '2024-01-01'::timestamptz + i * interval '1 hour', i FROM generate_series(1, 50) AS i",
        options=THIRDS,
    ).copy_all()
    job.run("UPDATE {table} SET n = n + 100 WHERE n < 10")
    job.run("DELETE FROM {table} WHERE n > 40")
    job.run("INSERT INTO {table} (at, n) SELECT at, n FROM {table} WHERE n = 20")
    job.apply()
    assert job.value("SELECT count(*) FROM {shadow} WHERE twice = 40") == 2
    job.assert_equal()


def test_a_table_of_every_type_without_a_key_loses_no_change(captured: Make) -> None:
    def rich_without_key(conn: psycopg.Connection[tuple[object, ...]]) -> tables.Table:
        made = tables.rich(conn, rows=120)
        conn.execute("ALTER TABLE rich.samples DROP CONSTRAINT samples_pkey")
        return tables.described(conn, made.schema, made.name, made.time)

    job = captured(rich_without_key, options=THIRDS)
    job.run("UPDATE {table} SET free = free + 1 WHERE id < 30")
    job.copy_all()
    job.run("INSERT INTO {table} (id, at, js, x, p) SELECT id, at, js, x, p FROM {table} WHERE id < 40")
    job.run(
        "DELETE FROM {table} WHERE id > 100; UPDATE {table} SET money = NULL, f8 = '-0' WHERE id BETWEEN 50 AND 70"
    )
    job.apply()
    assert job.backlog() == 0
    job.assert_equal()


def test_a_row_level_truncate_restart_and_identity_are_no_trouble(captured: Make) -> None:
    job = captured("CREATE TABLE t (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at date NOT NULL, v text);"
                   "INSERT INTO t (at, v) SELECT date '2024-01-01' + i, 'x' FROM generate_series(1, 30) AS i; CREATE INDEX ON t (at)",
                   options=THIRDS)  # fmt: skip
    job.run("TRUNCATE {table} RESTART IDENTITY; INSERT INTO {table} (at, v) VALUES ('2024-05-05', 'anew')")
    settle(job)
    assert job.run("SELECT id, v FROM {shadow}") == [(1, "anew")]
