"""Where the source is cut into batches, and which chunks are made before the first."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from job import HOURS, Make

from hyperferry.copy import batches, chunks
from hyperferry.ledger import store
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.rollout import Phase
from hyperferry.strategies import blue_green
from hyperferry.strategies.monitor import Monitor

ROWS = 150_000
MANY = f"""
CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL);
INSERT INTO t SELECT i, timestamptz '2024-01-01' + i * interval '100 days' / {ROWS} FROM generate_series(0, {ROWS} - 1) AS i;
CREATE INDEX t_at ON t (at);
"""
DAILY = PlanOptions(chunk_interval="1 day", batch_rows=10_000)


def sizes(job: Any) -> list[int]:
    """Rows that each batch covers, in order."""
    return [
        int(row[0])
        for row in job.run(
            "SELECT (SELECT count(*) FROM {source} AS s WHERE (b.lo_t IS NULL OR s.at >= b.lo_t) AND (b.hi_t IS NULL OR s.at < b.hi_t)) "
            "FROM {batch} AS b ORDER BY b.id"
        )
    ]


def chunks_of(job: Any) -> int:
    """How many chunks the shadow has."""
    return int(job.value("SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 't'"))


def entries_read(job: Any) -> int:
    """Entries of the index on the time that the job's own session read so far."""
    job.on(job.conn, "SELECT pg_stat_force_next_flush()")
    return int(job.value("SELECT pg_stat_get_tuples_returned('public.t_at'::regclass)"))


@pytest.mark.parametrize(
    ("kind", "time", "width"),
    [
        ("timestamptz", "timestamptz '2024-01-01 00:00+00' + i * interval '1 hour'", "1 day"),
        ("timestamp", "timestamp '1969-12-30' + i * interval '1 hour'", "1 day"),
        ("date", "date '2024-01-01' + i / 24", "1 day"),
        ("bigint", "i - 150", "24"),
    ],
)
def test_chunks_are_made_ahead_without_an_index_on_the_time_too(captured: Make, kind: str, time: str, width: str) -> None:
    """Made by the batches, each would lock the others out to its transaction's end: workers would copy one after the other."""
    job = captured(
        f"CREATE TABLE t (name text, n int, at {kind} NOT NULL, PRIMARY KEY (name, n));"
        f"INSERT INTO t SELECT 'it''s {{' || i % 7, i, {time} FROM generate_series(1, 300) AS i",
        options=PlanOptions(chunk_interval=width, batch_rows=50),
    )
    assert job.value("SELECT count(*) FROM {batch}") == 6
    assert job.value("SELECT count(*) FROM {shadow}") == 0
    made = chunks_of(job)
    assert made >= 13
    job.copy_all()
    assert chunks_of(job) == made
    job.assert_equal()


def test_a_look_at_some_pages_finds_most_chunks(job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LOOKED_AT_PAGES", 100)
    monkeypatch.setattr(batches, "LOOKED_AT_FOR_EACH", 1)
    made = job(MANY.replace("CREATE INDEX t_at ON t (at);", ""), options=DAILY).cut()
    assert made.value("SELECT pg_relation_size('t') / 8192") > 800
    assert 20 < chunks_of(made) <= 100
    made.copy_all().assert_equal()


def test_small_chunks_are_one_batch_together(captured: Make) -> None:
    job = captured(HOURS, options=PlanOptions(chunk_interval="1 day", batch_rows=100))  # 13 days of 23 or 24 rows
    assert sizes(job) == [95, 96, 96, 13]
    assert chunks_of(job) == 13
    job.copy_all()
    assert chunks_of(job) == 13
    job.assert_equal()


def test_a_batch_has_so_many_chunks_at_most(captured: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "JOINED_CHUNKS", 3)
    monkeypatch.setattr(chunks, "AT_ONCE", 4)
    job = captured(HOURS, options=PlanOptions(chunk_interval="1 day", batch_rows=1000))
    assert len(sizes(job)) == 5
    assert chunks_of(job) == 13
    job.copy_all().assert_equal()


def test_a_chunk_of_many_rows_is_several_batches(captured: Make) -> None:
    job = captured(HOURS, options=PlanOptions(chunk_interval="5 days", batch_rows=50))
    found = sizes(job)
    assert sum(found) == 300
    assert max(found) == 50
    assert len(found) == 8  # 71 or 120 rows a chunk: 50 and the rest, none across its end
    job.copy_all().assert_equal()


@pytest.fixture
def _index_taken_for_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look at whether the index has every row, which reads all of it, is left out."""
    monkeypatch.setattr(blue_green, "rows_that_it_lacks", lambda *given: 0)


@pytest.mark.usefixtures("_index_taken_for_whole")
def test_fresh_statistics_spare_reading_the_index(job: Make) -> None:
    made = job(MANY, options=DAILY).capture()
    made.run("ANALYZE t")
    before = entries_read(made)
    made.cut()
    assert entries_read(made) - before < ROWS / 50
    found = sizes(made)
    assert sum(found) == ROWS
    assert len(found) <= ROWS / DAILY.batch_rows * 1.5
    assert max(found) < DAILY.batch_rows * 1.5
    made.copy_all().assert_equal()


@pytest.mark.parametrize(
    "stale",
    [
        "DELETE FROM pg_statistic WHERE starelid = 't'::regclass; SELECT pg_stat_reset_single_table_counters('t'::regclass)",
        "UPDATE t SET at = at - interval '99 days' WHERE id > 100000",
    ],
    ids=["never analyzed", "changed since"],
)
def test_old_statistics_are_not_believed(job: Make, stale: str) -> None:
    made = job(MANY, options=DAILY).capture()
    made.run("ANALYZE t")
    made.run(stale)
    made.cut()
    found = sizes(made)
    assert sum(found) == ROWS
    assert max(found) <= DAILY.batch_rows


@pytest.mark.parametrize("kind", ["smallint", "integer", "bigint", "date", "timestamp", "timestamptz"])
def test_the_ends_of_a_type(captured: Make, kind: str) -> None:
    low, high = {
        "smallint": ("-32768", "32767"), "integer": ("-2147483648", "2147483647"),
        "bigint": ("-9223372036854775808", "9223372036854775807"), "date": ("4713-01-01 BC", "294000-12-31"),
        "timestamp": ("4713-01-01 BC", "294276-12-31"), "timestamptz": ("4713-01-02 BC", "294276-12-31"),
    }[kind]  # fmt: skip
    middle = "0" if kind in ("smallint", "integer", "bigint") else "2024-05-05"
    width = "1000" if middle == "0" else "7 days"
    made = captured(
        f"CREATE TABLE t (id bigint PRIMARY KEY, at {kind} NOT NULL); CREATE INDEX ON t (at);"
        f"INSERT INTO t VALUES (1, '{low}'), (2, '{middle}'), (3, '{high}')",
        options=PlanOptions(chunk_interval=width, batch_rows=1),
    )
    assert sizes(made) == [1, 1, 1]


def test_no_chunk_is_made_once_another_copies(captured: Make) -> None:
    """Whoever moved on has rows in the shadow, which the deletion of those that make chunks must not touch."""
    job = captured(HOURS, options=PlanOptions(chunk_interval="1 day", batch_rows=100)).copy_all()
    flow = job.flow
    chunks.make_chunks(job.conn, flow, [("2024-01-01 01:00:00+00",)], lambda: None)
    job.assert_equal()


def test_cut_again_after_an_interruption_between(job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = job(HOURS, options=PlanOptions(chunk_interval="1 day", batch_rows=100)).capture()

    def interrupted(*given: Any, **more: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(blue_green, "record_batches", interrupted)
        with pytest.raises(RuntimeError):
            blue_green.cut_batches(made.conn, made.rollout, Monitor(threading.Event()))
    assert made.rollout.phase is Phase.PREPARED
    assert chunks_of(made) == 13
    made.cut().copy_all().assert_equal()


def test_the_rollout_stays_where_it_is_while_chunks_are_made(captured: Make) -> None:
    job = captured(HOURS)
    with job.conn.transaction():
        assert store.hold(job.conn, job.rollout.id) is Phase.COPYING
        other = job.db.connect()
        other.execute("SET lock_timeout = '100ms'")
        with pytest.raises(Exception, match="lock timeout"):
            other.execute("UPDATE hyperferry.rollout SET phase = phase")
        other.close()


@pytest.mark.usefixtures("_index_taken_for_whole")
@pytest.mark.parametrize("order", ["at DESC", "at DESC NULLS LAST", "at NULLS FIRST"])
def test_an_index_in_any_order_is_read_and_never_sorted(job: Make, order: str) -> None:
    """With the NULLs at the end where ORDER BY does not want them, each look for the next chunk would sort the rest of the table."""
    made = job(MANY.replace("ON t (at)", f"ON t ({order})"), options=DAILY).capture()
    made.run("VACUUM ANALYZE t")
    before = entries_read(made)
    made.cut()
    assert entries_read(made) - before < ROWS / 50
    assert sum(sizes(made)) == ROWS


@pytest.mark.parametrize("key", ["PRIMARY KEY", ""], ids=["with a key", "without"])
def test_a_row_that_made_a_chunk_and_is_not_found_again_is_not_left(job: Make, key: str) -> None:
    made = job(
        f"CREATE TABLE t (k float8 {key}, at timestamptz NOT NULL); CREATE INDEX ON t (at);"
        "INSERT INTO t VALUES (0.1::float8 + 0.2, '2024-01-01'), (1, '2024-05-05')"
    ).capture()
    made.conn.execute("SET extra_float_digits = 0")
    made.cut()
    assert made.value("SELECT count(*) FROM {shadow}") == 0
    made.copy_all().assert_equal()


def test_a_batch_by_time_keeps_the_order_in_which_the_rows_lie(job: Make) -> None:
    """The key grows at its end then, whatever the order of the times within a chunk."""
    scattered = MANY.replace(
        f"i * interval '100 days' / {ROWS}", "(i / 1500) * interval '1 day' + (i * 7919 % 1500) * interval '57 seconds'"
    )
    made = job(scattered, options=DAILY).capture()
    made.run("ANALYZE t")
    made.cut().copy_all().assert_equal()
    backward = "SELECT count(*) FROM (SELECT id < lag(id) OVER (PARTITION BY tableoid ORDER BY ctid) AS back FROM {shadow}) AS s WHERE back"
    assert chunks_of(made) == 100
    assert made.value(backward) == 0
