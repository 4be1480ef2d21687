"""I7: what a write to the hypertable leaves in the change log. What that costs a session is in test_nothing_grows.py."""

from __future__ import annotations

import pytest
from job import Job

from hyperferry.capture import functions
from hyperferry.model.plan_options import PlanOptions
from kit import tables
from servers import Database

HOURS = PlanOptions(chunk_interval="1 day")
CLOSE_KEYS = """
CREATE COLLATION whatever_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE t (k {type}, at timestamptz NOT NULL, v integer, PRIMARY KEY (k, at));
INSERT INTO t VALUES ({one}, '2024-01-01', 0), ({two}, '2024-01-02', 0);
"""
KEYED = "CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL, v integer, gone integer);"


def cut_over(db: Database, script: str, *key: str) -> Job:
    """The table `t` of the script, the hypertable serving, nothing in the log."""
    db.execute(script)
    with db.connect() as conn:
        job = Job(db, tables.described(conn, "public", "t", "at", *key), HOURS)
    job.start()
    job.cutover()
    assert job.backlog() == 0
    return job


def written(job: Job, text: str) -> str:
    """The operations that the statement leaves in the log, in the order of the alphabet."""
    before = job.ops()
    job.run(text)
    return "".join(sorted(job.ops()[len(before) :]))


def test_each_kind_of_write_leaves_its_pairs(db: Database) -> None:
    """One for each row, two where the pair is another afterwards."""
    job = cut_over(db, f"{KEYED} ALTER TABLE t DROP COLUMN gone; INSERT INTO t VALUES (1, '2024-01-01', 0)", "id")
    assert written(job, "INSERT INTO t VALUES (2, '2024-01-01 01:00+00', 0), (3, '2024-01-05', 0)") == "II"
    assert written(job, "UPDATE t SET v = v + 1 WHERE id < 4") == "UUU"
    assert written(job, "UPDATE t SET at = at WHERE id = 1") == "U"
    assert written(job, "UPDATE t SET at = at + interval '1 minute' WHERE id = 1") == "UU"
    assert written(job, "UPDATE t SET id = 9 WHERE id = 2") == "UU"
    assert written(job, "INSERT INTO t VALUES (3, '2024-01-05', 0) ON CONFLICT (id, at) DO UPDATE SET v = 7") == "U"
    assert written(job, "MERGE INTO t USING (VALUES (9), (10)) AS x (i) ON t.id = x.i WHEN MATCHED THEN DELETE "
                        "WHEN NOT MATCHED THEN INSERT (id, at) VALUES (x.i, '2024-01-09')") == "DI"  # fmt: skip
    assert written(job, "DELETE FROM t WHERE id = 3") == "D"
    pairs = {(row[3], f"{row[4]:%d %H:%M}") for row in job.logged()}
    # Both pairs of the row whose time changed, and both of the one whose key did.
    assert {(1, "01 00:00"), (1, "01 00:01"), (2, "01 01:00"), (9, "01 01:00"), (3, "05 00:00"), (10, "09 00:00")} <= pairs
    job.sync()
    job.assert_equal()
    job.close()


@pytest.mark.parametrize(
    ("kind", "one", "two", "other"),
    [("numeric", "1.0", "2.0", "1.00"), ("text COLLATE whatever_case", "'a'", "'b'", "'A'")],
    ids=["numeric", "nondeterministic collation"],
)
def test_a_key_that_is_written_another_way_arrives(db: Database, kind: str, one: str, two: str, other: str) -> None:
    """1.0 and 1.00 are one key, and two values."""
    job = cut_over(db, CLOSE_KEYS.format(type=kind, one=one, two=two), "k", "at")
    job.run(f"UPDATE t SET k = {other} WHERE v = 0 AND at = '2024-01-01'")
    job.run(f"UPDATE t SET v = v + 1 WHERE k = {one} AND at = '2024-01-01'")
    job.sync()
    job.assert_equal()
    job.rollback()
    assert job.run("SELECT k::text, v FROM t WHERE at = '2024-01-01'") == [(other.strip("'"), 1)]
    job.close()


def test_rows_without_a_key_arrive(db: Database) -> None:
    """Told apart by their image; an UPDATE that changes nothing leaves one pair."""
    job = cut_over(db, "CREATE TABLE t (at timestamptz NOT NULL, v numeric, w text); CREATE INDEX ON t (at); INSERT INTO t VALUES ('2024-01-01', 1.0, NULL)")
    assert written(job, "UPDATE t SET v = v") == "U"
    assert written(job, "UPDATE t SET v = 1.00") == "UU"
    assert written(job, "INSERT INTO t SELECT * FROM t") == "I"
    assert written(job, "DELETE FROM t WHERE ctid = (SELECT max(ctid) FROM t)") == "D"
    job.sync()
    job.assert_equal()
    job.rollback()
    assert job.run("SELECT v::text FROM t") == [("1.00",)]
    job.close()


def test_a_rollout_of_an_older_hyperferry_is_carried_to_its_end(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hypertable has a trigger for each kind of write, and functions for those."""
    db.execute(f"{KEYED} INSERT INTO t SELECT i, timestamptz '2024-01-01' + i * interval '1 hour', i FROM generate_series(1, 200) AS i")
    with db.connect() as conn:
        job = Job(db, tables.described(conn, "public", "t", "at", "id"), HOURS)
    with monkeypatch.context() as older:
        older.setattr(functions, "BY_ROW", functions.EVENTS)
        job.start()
    assert db.execute("SELECT 1 FROM pg_trigger WHERE tgname = 'hyperferry_reverse_insert'")
    for number in (1000, 2000):
        job.cutover()
        job.run(f"INSERT INTO t VALUES ({number}, '2024-03-01', 0)")
        job.run(f"UPDATE t SET id = {number + 1}, at = '2024-03-01 01:00+00' WHERE id = {number}")
        changed = len(job.run("UPDATE t SET v = v + 1 WHERE id < 100 RETURNING id"))
        job.run(f"DELETE FROM t WHERE id = {number // 100}")
        assert job.backlog() == 1 + 2 + changed + 1
        job.sync()
        job.assert_equal()
        job.rollback()
    assert job.value("SELECT count(*) FROM t WHERE id IN (1001, 2001)") == 2
    job.cutover()
    job.finish()
    assert not db.execute("SELECT 1 FROM pg_trigger WHERE tgname LIKE 'hyperferry%'")
    assert not db.execute("SELECT 1 FROM pg_proc WHERE pronamespace = 'hyperferry'::regnamespace")
    job.close()


def test_a_virtual_column_that_cannot_be_computed_stops_no_update(db: Database) -> None:
    """PostgreSQL 18 computes it where a row is looked at as a whole."""
    if db.release == "stable":
        pytest.skip("PostgreSQL 17 has no virtual generated columns")
    job = cut_over(
        db,
        "CREATE TABLE t (at timestamptz NOT NULL, a integer, b integer, c integer, ratio integer GENERATED ALWAYS AS (a / b) VIRTUAL);"
        "CREATE INDEX ON t (at); INSERT INTO t VALUES ('2024-01-01', 1, 0, 1), ('2024-01-02', 4, 2, 1)",
    )
    assert written(job, "UPDATE t SET c = 2") == "UUUU"
    assert written(job, "UPDATE t SET c = 2") == "UU"
    job.sync()
    job.rollback()
    assert job.run("SELECT a, b, c FROM t ORDER BY at") == [(1, 0, 2), (4, 2, 2)]
    job.close()
