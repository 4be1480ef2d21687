"""I3: a change is applied by state, not by event, pair by pair."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from job import HOURS, THIRDS, Job, Make, aside

from hyperferry.apply import requeue_quarantined
from hyperferry.errors import Refused
from hyperferry.model.plan_options import PlanOptions
from kit import tables

WIDE = PlanOptions(chunk_interval="365 days", workers=1)

UNIQUE = """
CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT '2024-01-01', u integer, v text, {key});
INSERT INTO t (id, u, v) SELECT i, i, 'row ' || i FROM generate_series(1, 8) AS i;
CREATE INDEX t_at ON t (at);
"""


def unique(make: Make, key: str = "UNIQUE (u)") -> Job:
    """Eight rows of one time, so that the widened key is as strict as the source's own."""
    return make(UNIQUE.format(key=key), options=WIDE)


def nothing_refused(job: Job) -> None:
    """Everything is applied, nothing is in quarantine, and both sides are equal."""
    assert job.value("SELECT count(*) FROM {quarantine}") == 0
    assert job.value("SELECT count(*) FROM hyperferry.event WHERE kind = 'quarantined'") == 0
    assert job.backlog() == 0
    job.assert_equal()


# By state, in any order, any number of times.


@pytest.mark.peer(number=9)
def test_a_value_set_to_null_arrives(copied: Make) -> None:
    job = copied(HOURS, options=THIRDS)
    job.run("UPDATE {table} SET v = NULL WHERE id < 10")
    job.apply()
    assert job.value("SELECT count(*) FROM {shadow} WHERE v IS NULL") == 9
    job.assert_equal()


@pytest.mark.peer(number=11)
def test_a_changed_key_leaves_nothing_of_the_old_one(copied: Make) -> None:
    job = copied(HOURS, options=THIRDS)
    job.run("UPDATE {table} SET id = id + 1000 WHERE id < 10")
    job.run("UPDATE {table} SET id = 5000 WHERE id = 100")
    job.run("DELETE FROM {table} WHERE id = 1001; INSERT INTO {table} VALUES (1001, '2024-01-05', 'again')")
    job.apply(slice_rows=3)
    nothing_refused(job)


@pytest.mark.parametrize("slice_rows", [1, 2, 1000])
def test_a_row_that_moves_in_time_and_back_is_there_once(copied: Make, slice_rows: int) -> None:
    job = copied(HOURS, options=THIRDS)
    job.run("UPDATE {table} SET at = at + interval '30 days' WHERE id = 1")
    job.apply()
    for statement in (
        "UPDATE {table} SET at = at - interval '30 days', v = 'back' WHERE id = 1",
        "UPDATE {table} SET at = at + interval '60 days', v = 'off' WHERE id = 2",
        "UPDATE {table} SET at = at - interval '60 days' WHERE id = 2",
        "DELETE FROM {table} WHERE id = 3",
        "INSERT INTO {table} VALUES (3, '2024-02-10', 'later')",
        "UPDATE {table} SET at = '2024-01-01 03:00+00' WHERE id = 3",
    ):
        job.run(statement)
    job.apply(slice_rows=slice_rows)
    nothing_refused(job)


def test_the_same_pairs_applied_again_change_nothing(copied: Make) -> None:
    job = copied(HOURS, options=THIRDS)
    job.run("UPDATE {table} SET v = v || '!' WHERE id < 50")
    job.run("CREATE TABLE kept AS SELECT * FROM {log}")
    job.apply()
    job.run("DELETE FROM {table} WHERE id < 5; INSERT INTO {table} VALUES (4, '2024-01-01 04:00+00', 'anew')")
    job.run("INSERT INTO {log} (op, k1, t) SELECT op, k1, t FROM kept ORDER BY random()")
    job.apply(slice_rows=7)
    nothing_refused(job)


def test_equal_rows_without_a_key_are_counted(copied: Make) -> None:
    job = copied(tables.keyless, rows=200, options=PlanOptions(chunk_interval="30 days", batch_rows=50))
    job.run("INSERT INTO {table} SELECT * FROM {table} WHERE sensor IS NULL")
    job.run(
        "DELETE FROM {table} WHERE ctid IN (SELECT max(ctid) FROM {table} GROUP BY at, sensor HAVING count(*) > 1)"
    )
    job.run("UPDATE {table} SET value = NULL, note = NULL WHERE sensor = 1")
    job.run("UPDATE {table} SET value = 1.00 WHERE value = 1.0 AND scale(value) = 1")
    job.apply(slice_rows=17)
    nothing_refused(job)


def test_one_slice_over_many_chunks_deletes_everywhere_and_inserts_each_row_once(copied: Make) -> None:
    """Without a key nothing but the order and the count of what is done keeps rows from being doubled."""
    job = copied(tables.keyless, rows=300, options=PlanOptions(chunk_interval="4 hours"))
    with job.application() as conn:
        for _ in range(3):
            job.on(
                conn, "INSERT INTO {table} VALUES ('2024-03-02', 1, 1, 'same'), ('2024-03-02', 1, 1, 'same')"
            )
        job.on(conn, "UPDATE {table} SET note = 'all' WHERE sensor = 2")
        job.on(conn, "UPDATE {table} SET at = at + interval '9 hours' WHERE sensor = 3")
        job.on(conn, "UPDATE {table} SET at = at - interval '9 hours' WHERE sensor = 3 AND value IS NULL")
        conn.commit()
    job.apply()
    assert job.value("SELECT count(*) FROM {shadow} WHERE note = 'same'") == 6
    nothing_refused(job)


# Log rows go by their ids.


@pytest.mark.peer(number=7)
def test_a_change_that_commits_late_under_a_lower_id_is_not_removed_with_the_others(copied: Make) -> None:
    job = copied(HOURS, options=THIRDS)
    with job.application() as late:
        job.on(late, "UPDATE {table} SET v = 'late' WHERE id = 1")
        job.run("UPDATE {table} SET v = 'early' WHERE id BETWEEN 2 AND 40")
        job.apply()
        assert job.value("SELECT count(*) FROM {shadow} WHERE v = 'early'") == 39
        late.commit()
    assert job.run("SELECT id, k1 FROM {log}") == [(1, 1)], (
        "the lower id came to sight after the higher ones were applied"
    )
    job.apply()
    assert job.value("SELECT count(*) FROM {shadow} WHERE v = 'late'") == 1
    nothing_refused(job)


# One applier at a time.


def test_a_second_applier_waits_until_the_first_has_ended(copied: Make) -> None:
    """A reads a row's pair; the application deletes the row; B must wait for A, which would else put it back."""
    job = copied(HOURS, options=THIRDS)
    orphan = job.session("orphan")
    orphan.execute("SET lock_timeout = 0")  # the backend of a client that is gone, which waits for ever
    job.run("INSERT INTO {table} VALUES (500, '2024-01-05 00:30+00', 'to be deleted')")
    with job.db.connect(autocommit=False) as in_the_way:
        job.on(
            in_the_way, "INSERT INTO {shadow} VALUES (500, '2024-01-05 00:30+00', 'parks A in its INSERT')"
        )
        first = aside(lambda: job.applier(orphan).apply_slice(pending_batches=True))
        job.until_we_wait_for_a_row()
        job.run("DELETE FROM {table} WHERE id = 500")

        second = aside(lambda: job.applier().apply_slice(pending_batches=True))
        job.until_we_wait("{lock}")
        assert not second.done()
        in_the_way.rollback()
    first.result(60)
    second.result(60)
    job.apply()
    assert job.value("SELECT count(*) FROM {shadow} WHERE id = 500") == 0, "the deleted row was put back"
    nothing_refused(job)


def test_the_appliers_lock_is_taken_before_the_snapshot(copied: Make) -> None:
    """What commits while an applier waits for its turn must be in its snapshot."""
    job = copied(HOURS, options=THIRDS)
    patient = job.session()
    patient.execute("SET lock_timeout = 0")  # a second attempt would have a new snapshot anyhow
    job.run("UPDATE {table} SET v = 'one' WHERE id = 1")
    with job.db.connect(autocommit=False) as another:
        job.on(another, "LOCK TABLE {lock} IN EXCLUSIVE MODE")
        waiting = aside(lambda: job.applier(patient).apply_slice(pending_batches=True))
        job.until_we_wait("{lock}")
        job.run("UPDATE {table} SET v = 'two' WHERE id = 2")
        another.rollback()
    assert waiting.result(60).changes == 2
    nothing_refused(job)


def test_a_slice_is_applied_as_of_one_moment(copied: Make) -> None:
    """What is committed while a slice is applied belongs to a later one: reading the log, deleting and inserting share a
    snapshot."""
    job = copied(HOURS, options=THIRDS)
    patient = job.session("patient")
    patient.execute("SET lock_timeout = 0")
    job.run("UPDATE {table} SET v = 'first' WHERE id IN (1, 2)")
    with job.db.connect(autocommit=False) as in_the_way:
        job.on(in_the_way, "SELECT id FROM {shadow} WHERE id = 1 FOR UPDATE")
        applying = aside(lambda: job.applier(patient).apply_slice(pending_batches=True))
        job.until_we_wait_for_a_row()
        job.run("UPDATE {table} SET v = 'second' WHERE id = 2")
        in_the_way.rollback()
    applying.result(60)
    assert job.run("SELECT id, v FROM {shadow} WHERE id < 3 ORDER BY id") == [(1, "first"), (2, "first")]
    assert job.backlog() == 1
    job.apply()
    nothing_refused(job)


# Unique values.


@pytest.mark.parametrize("slice_rows", [1, 2, 3, 1000])
@pytest.mark.peer(number=6)
def test_two_rows_swap_a_unique_value_across_two_slices(copied: Make, slice_rows: int) -> None:
    job = unique(copied)
    with job.application() as conn:
        job.on(conn, "UPDATE {table} SET u = 100 WHERE id = 1")
        job.on(conn, "UPDATE {table} SET u = 1 WHERE id = 2")
        job.on(conn, "UPDATE {table} SET u = 2 WHERE id = 1")
        conn.commit()
    job.apply(slice_rows=slice_rows)
    nothing_refused(job)


@pytest.mark.peer(number=6)
def test_a_ring_of_eight_unique_values_is_applied_whole(copied: Make) -> None:
    job = unique(copied)
    job.run("UPDATE {table} SET u = -u; UPDATE {table} SET u = 1 + (-u) % 8")
    job.apply(slice_rows=1)
    nothing_refused(job)


def test_a_unique_value_passed_on_to_a_new_row(copied: Make) -> None:
    job = unique(copied)
    job.run("UPDATE {table} SET v = 'seen first' WHERE id = 5")
    job.run(
        "DELETE FROM {table} WHERE id = 1; UPDATE {table} SET u = 1 WHERE id = 5; INSERT INTO {table} (id, u) VALUES (9, 5)"
    )
    job.apply(slice_rows=1)
    nothing_refused(job)


@pytest.mark.parametrize("slice_rows", [1, 1000])
@pytest.mark.parametrize("timing", ["DEFERRABLE INITIALLY DEFERRED", "DEFERRABLE INITIALLY IMMEDIATE"])
def test_rows_that_swap_values_of_a_deferrable_key(copied: Make, timing: str, slice_rows: int) -> None:
    job = unique(copied, f"CONSTRAINT t_u UNIQUE (u) {timing}")
    job.run("UPDATE {table} SET u = 9 - u")
    job.apply(slice_rows=slice_rows)
    nothing_refused(job)


@pytest.mark.parametrize("slice_rows", [1, 1000])
def test_null_stands_in_a_unique_column_as_often_as_it_likes(copied: Make, slice_rows: int) -> None:
    job = unique(copied)
    job.run("UPDATE {table} SET u = NULL WHERE id < 6")
    job.run("UPDATE {table} SET u = id + 1 WHERE id < 3")
    job.apply(slice_rows=slice_rows)
    nothing_refused(job)


def test_null_that_is_not_distinct_passes_from_row_to_row(copied: Make) -> None:
    job = unique(copied, "UNIQUE NULLS NOT DISTINCT (u)")
    job.run("UPDATE {table} SET u = NULL WHERE id = 1")
    job.apply()
    job.run("UPDATE {table} SET v = 'seen first' WHERE id = 2")
    job.run("UPDATE {table} SET u = 1 WHERE id = 1")
    job.run("UPDATE {table} SET u = NULL WHERE id = 2")
    job.apply(slice_rows=1)
    nothing_refused(job)


def test_a_partial_unique_index_on_an_expression(copied: Make) -> None:
    job = copied(
        UNIQUE.format(key="w boolean") + "CREATE UNIQUE INDEX ON t (at, lower(v)) WHERE id < 5", options=WIDE
    )
    job.run(
        "UPDATE {table} SET v = 'x' WHERE id = 1; UPDATE {table} SET v = 'ROW 1' WHERE id = 2; UPDATE {table} SET v = 'ROW 2' WHERE id = 1"
    )
    job.apply(slice_rows=1)
    nothing_refused(job)


# What the shadow cannot take.


@pytest.fixture
def nullable(copied: Make) -> Job:
    """A table whose time may be NULL; there is no such row yet."""
    return copied(HOURS.replace("at timestamptz NOT NULL", "at timestamptz"), options=THIRDS)


def test_a_row_whose_time_becomes_null_is_named_and_stops_nothing_else(nullable: Job) -> None:
    job = nullable
    job.run("UPDATE {table} SET v = 'before' WHERE id = 1")
    job.run("UPDATE {table} SET at = NULL WHERE id = 2")
    job.run("INSERT INTO {table} VALUES (400, NULL, 'new')")
    job.run("UPDATE {table} SET v = 'after' WHERE id = 3")
    job.apply()

    assert job.backlog() == 0
    assert job.run("SELECT id FROM {shadow} WHERE v IN ('before', 'after') ORDER BY id") == [(1,), (3,)]
    assert job.value("SELECT count(*) FROM {shadow} WHERE id = 2") == 0, "the row with its old time is gone"
    status = job.status()
    assert status.quarantined_count == 2
    assert [q.pair for q in status.quarantined] == [{"id": "2", "at": None}, {"id": "400", "at": None}]
    assert all("null" in q.reason.lower() for q in status.quarantined)

    with pytest.raises(Refused, match="not the same"):
        job.start()
    assert job.phase() == "copying"


def test_a_quarantined_row_that_the_application_mends_is_let_go(nullable: Job) -> None:
    nullable.run("UPDATE {table} SET at = NULL WHERE id IN (2, 3)")
    nullable.run("INSERT INTO {table} VALUES (400, NULL, 'never mended')")
    nullable.apply()
    assert nullable.status().quarantined_count == 3
    nullable.run("UPDATE {table} SET at = '2024-01-01 02:00+00' WHERE id = 2")
    nullable.run("DELETE FROM {table} WHERE id = 3")
    nullable.run("DELETE FROM {table} WHERE id = 400")
    nullable.apply()
    nullable.apply()
    assert nullable.run("SELECT k1, t FROM {quarantine}") == []
    nullable.assert_equal()
    nullable.start()
    assert nullable.phase() == "synced"


def test_an_infinite_time_is_quarantined(copied: Make) -> None:
    job = copied(HOURS, options=THIRDS)
    job.run("INSERT INTO {table} VALUES (401, '-infinity', 'x'), (402, '2024-01-02', 'y')")
    job.apply()
    assert [q.pair["id"] for q in job.status().quarantined] == ["401"]
    assert job.value("SELECT count(*) FROM {shadow} WHERE id = 402") == 1
    job.run("UPDATE {table} SET at = '2024-01-03' WHERE id = 401")
    job.apply()
    nothing_left(job)


def nothing_left(job: Job) -> None:
    """Whatever was in quarantine is there by now."""
    assert job.value("SELECT count(*) FROM {quarantine}") == 0
    assert job.backlog() == 0
    job.assert_equal()


def test_only_the_rows_that_are_refused_are_quarantined_out_of_a_large_slice(nullable: Job) -> None:
    nullable.run("UPDATE {table} SET v = v || '!', at = CASE WHEN id IN (17, 170) THEN NULL ELSE at END")
    nullable.apply()
    assert nullable.run("SELECT k1 FROM {quarantine} ORDER BY 1") == [(17,), (170,)]
    assert nullable.value("SELECT count(*) FROM {shadow} WHERE v LIKE '%!'") == 298


def test_what_was_quarantined_is_tried_again(nullable: Job) -> None:
    job = nullable
    job.run("UPDATE {table} SET at = NULL WHERE id = 2")
    job.apply()
    requeue_quarantined(job.conn, job.flow)
    assert job.run("SELECT op::text, k1, t FROM {log}") == [("W", 2, None)]
    job.apply()
    assert job.status().quarantined_count == 1


# TRUNCATE is a barrier.


def test_truncate_empties_the_shadow_and_the_log(copied: Make) -> None:
    job = copied(HOURS, options=THIRDS)
    job.run("UPDATE {table} SET v = 'gone soon' WHERE id < 50")
    job.run("TRUNCATE {table}")
    assert job.ops() == "U" * 49 + "T"
    job.apply()
    assert job.value("SELECT count(*) FROM {shadow}") == 0
    nothing_refused(job)


def test_truncate_and_insert_in_one_transaction(copied: Make) -> None:
    job = copied(HOURS, options=THIRDS)
    with job.application() as conn:
        job.on(conn, "INSERT INTO {table} VALUES (900, '2024-01-02', 'before')")
        job.on(conn, "TRUNCATE {table}")
        job.on(
            conn,
            "INSERT INTO {table} VALUES (1, '2024-01-01 01:00+00', 'after'), (901, '2024-01-02', 'after')",
        )
        job.on(conn, "TRUNCATE {table}")
        job.on(
            conn,
            "INSERT INTO {table} VALUES (1, '2024-01-01 01:00+00', 'at last'), (902, '2025-07-01', 'at last')",
        )
        conn.commit()
    job.run("UPDATE {table} SET v = 'even later' WHERE id = 902")
    job.apply(slice_rows=1)
    assert job.run("SELECT id, v FROM {shadow} ORDER BY id") == [(1, "at last"), (902, "even later")]
    nothing_refused(job)


def test_truncate_while_batches_are_pending(captured: Make) -> None:
    job = captured(HOURS, options=THIRDS)
    job.copy_next()
    job.run("UPDATE {table} SET v = 'gone soon' WHERE id IN (1, 101, 201)")
    with job.application() as conn:
        job.on(conn, "TRUNCATE {table}")
        job.on(conn, "INSERT INTO {table} SELECT i, '2024-01-01'::timestamptz + i * interval '1 hour', 'new' "
                     "FROM generate_series(50, 260, 10) AS i")  # fmt: skip
        conn.commit()
    job.apply()
    assert job.value("SELECT count(*) FROM {shadow} WHERE v <> 'new'") == 0
    job.copy_all().apply()
    nothing_refused(job)


def test_truncate_between_a_batch_and_the_applier(captured: Make) -> None:
    """The batch lands what came after the TRUNCATE before the barrier is passed."""
    job = captured(HOURS, options=THIRDS)
    job.copy_next()
    with job.application() as conn:
        job.on(conn, "TRUNCATE {table}")
        job.on(
            conn,
            "INSERT INTO {table} VALUES (1, '2024-01-01 01:00+00', 'new'), (150, '2024-01-07 06:00+00', 'new')",
        )
        conn.commit()
    assert job.copy_next().rows == 1
    assert job.copy_next().rows == 0
    job.apply()
    nothing_refused(job)


def test_truncate_that_is_rolled_back_never_happened(copied: Make) -> None:
    job = copied(HOURS, options=THIRDS)
    with job.application() as conn:
        job.on(conn, "SAVEPOINT before")
        job.on(conn, "TRUNCATE {table}")
        job.on(conn, "ROLLBACK TO SAVEPOINT before")
        job.on(conn, "DELETE FROM {table} WHERE id = 3")
        conn.commit()
    assert job.ops() == "D"
    job.apply()
    nothing_refused(job)


def test_truncate_makes_earlier_verifications_too_old(synced: Make) -> None:
    job = synced(HOURS, options=THIRDS)
    before = job.value("SELECT epoch FROM hyperferry.rollout")
    job.run("TRUNCATE {table}; INSERT INTO {table} VALUES (1, '2024-01-01', 'x')")
    job.sync()
    assert job.value("SELECT epoch FROM hyperferry.rollout") > before
    nothing_refused(job)


def test_truncate_forgets_the_quarantine(nullable: Job) -> None:
    nullable.run("UPDATE {table} SET at = NULL WHERE id = 2")
    nullable.apply()
    nullable.run("TRUNCATE {table}")
    nullable.apply()
    nothing_left(nullable)


def test_truncate_of_a_parent_that_cascades(copied: Make) -> None:
    job = copied(
        "CREATE TABLE p (id integer PRIMARY KEY); INSERT INTO p SELECT generate_series(1, 5);"
        "CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL, p integer REFERENCES p);"
        "INSERT INTO t SELECT i, '2024-01-01', 1 + i % 5 FROM generate_series(1, 50) AS i; CREATE INDEX ON t (at)",
        options=WIDE,
    )
    job.run("TRUNCATE p CASCADE")
    assert job.ops() == "T"
    job.apply()
    nothing_refused(job)


# All of it at once, under an applier that is always behind.


def test_a_long_random_history_in_slices_of_three(copied: Make) -> None:
    job = unique(copied)
    for statement in _history():
        try:
            job.run(statement)
        except psycopg.errors.UniqueViolation:
            continue
    job.apply(slice_rows=3)
    nothing_refused(job)


def _history() -> list[str]:
    import random

    r = random.Random(4)
    some: list[Callable[[], str]] = [
        lambda: (
            f"INSERT INTO {{table}} (id, u, at) VALUES ({r.randrange(12)}, {r.randrange(12)}, '2024-01-0{r.randrange(1, 4)}')"
        ),
        lambda: f"DELETE FROM {{table}} WHERE id = {r.randrange(12)}",
        lambda: f"UPDATE {{table}} SET u = {r.randrange(12)} WHERE id = {r.randrange(12)}",
        lambda: f"UPDATE {{table}} SET id = {r.randrange(12)} WHERE id = {r.randrange(12)}",
        lambda: f"UPDATE {{table}} SET at = '2024-01-0{r.randrange(1, 4)}' WHERE id = {r.randrange(12)}",
        lambda: "UPDATE {table} SET u = -u; UPDATE {table} SET u = 12 + u",
    ]
    return [r.choice(some)() for _ in range(80)]
