"""What befell others with chunks and widths (docs/peers.md): a lock for each chunk, milliseconds taken for microseconds, batches a tenth
as wide."""

from __future__ import annotations

from typing import Any

import pytest
from job import Job, Make
from swap_support import after_swap_message

from hyperferry.apply import Applier
from hyperferry.apply.window import Slice
from hyperferry.copy import batches, copier
from hyperferry.db import fetch_value
from hyperferry.db.connection import Connection
from hyperferry.errors import Refused
from hyperferry.model.finding import Level
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.rollout import Direction

CHUNKS = 60
DAYS = f"""
CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL, v integer);
INSERT INTO t SELECT i, timestamptz '2024-01-01' + i * interval '1 day', i FROM generate_series(1, {CHUNKS}) AS i;
CREATE INDEX t_at ON t (at);
"""
LOCKS = """
SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND c.relnamespace = '_timescaledb_internal'::regnamespace
"""
"""Locks on chunks and their indexes."""
FEW = 9
"""Three chunks with two indexes each."""
JOINED = batches.JOINED_CHUNKS * 3
"""Those of one batch."""
EVERY = CHUNKS * 3


@pytest.mark.peer(number=23)
def test_a_transaction_of_ours_does_not_lock_every_chunk(job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice, the swap and the swap back lock a chunk or two of 60, a batch 20 at most, with one exception that we cannot help: up to some
    version TimescaleDB has any DELETE on a hypertable open every chunk while it is planned. Preflight counts with that (see below)."""
    made = job(DAYS, options=PlanOptions(chunk_interval="1 day", batch_rows=1_000, workers=1))
    held: dict[str, list[int]] = {"copy": [], "apply": [], "swap": [], "apply back": []}

    def note(kind: str, conn: Connection) -> None:
        held[kind].append(int(fetch_value(conn, LOCKS)))

    done, apply = copier._done, Applier._apply

    def counted_done(conn: Connection, *rest: Any) -> None:
        done(conn, *rest)
        note("copy", conn)

    def counted_apply(self: Applier, part: Slice) -> int:
        changes = apply(self, part)
        note("apply" if self.flow.direction is Direction.FORWARD else "apply back", self.conn)
        return changes

    monkeypatch.setattr(copier, "_done", counted_done)
    monkeypatch.setattr(Applier, "_apply", counted_apply)
    after_swap_message(monkeypatch, lambda conn: note("swap", conn), times=9)
    made.start()
    assert made.value(
        "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 't'"
    ) == CHUNKS
    made.run("UPDATE t SET v = 0 WHERE id = 30")
    made.sync()
    made.cutover()
    made.run("UPDATE t SET v = 1 WHERE id = 30")
    made.sync()
    made.rollback()
    assert all(held.values())
    most = {kind: max(counts) for kind, counts in held.items()}
    assert FEW < most.pop("copy") <= JOINED < EVERY
    if made.db.release == "stable":  # 2.19
        assert most.pop("apply") <= EVERY
    assert {kind: count for kind, count in most.items() if count > FEW} == {}
    made.assert_equal()


@pytest.mark.peer(number=23)
def test_more_chunks_than_the_lock_table_bears_are_refused_beforehand(job: Make) -> None:
    """Counted as if one statement locked every chunk and its indexes, which is what a DELETE or a query of all chunks does."""
    made = job(
        "CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL);"
        "INSERT INTO t SELECT i, timestamptz '2024-01-01' + i * interval '1 hour' FROM generate_series(1, 5000) AS i;"
        "DO $$ BEGIN FOR n IN 1..28 LOOP EXECUTE format('CREATE INDEX ON t (at, (id + %s))', n); END LOOP; END $$",
        options=PlanOptions(chunk_interval="1 hour"),
    )
    room = made.db.execute(
        "SELECT a.setting::int * (b.setting::int + c.setting::int) FROM pg_settings a, pg_settings b, pg_settings c WHERE "
        "(a.name, b.name, c.name) = ('max_locks_per_transaction', 'max_connections', 'max_prepared_transactions')"
    )[0][0]
    assert room < 5000 * 30, "or the test has to make more of them"
    (finding,) = [finding for finding in made.plan.findings if finding.rule == "chunk-count"]
    assert finding.level is Level.BLOCKER
    assert "takes 150,000 locks" in finding.message
    assert f"room for {room:,} in all" in finding.message
    with pytest.raises(Refused):
        made.start()
    assert not made.db.execute("SELECT FROM pg_namespace WHERE nspname LIKE 'hyperferry%'")


UNITS = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}


@pytest.mark.peer(number=22)
@pytest.mark.parametrize("unit", UNITS)
def test_an_integer_time_has_chunks_of_its_own_unit(job: Make, unit: str) -> None:
    """70 days in a bigint: a week to a chunk, in whatever unit it counts, told from the values; TimescaleDB is given the number."""
    per = UNITS[unit]
    made = job(
        "CREATE TABLE t (id bigint PRIMARY KEY, at bigint NOT NULL);"
        f"INSERT INTO t SELECT i, (1704067200 + i * 6048) * {per}::bigint FROM generate_series(0, 999) AS i; CREATE INDEX ON t (at)",
        options=PlanOptions(workers=1),
    )
    made.start()
    assert made.db.execute("SELECT integer_interval FROM timescaledb_information.dimensions") == [(604_800 * per,)]
    chunks = made.db.execute("SELECT range_end_integer - range_start_integer FROM timescaledb_information.chunks")
    assert set(chunks) == {(604_800 * per,)}
    assert 10 <= len(chunks) <= 11
    made.assert_equal()


TIMES = {
    "timestamptz": ("timestamptz", "timestamptz '2024-01-01' + i * interval '1 hour'", "7 days"),
    "timestamp": ("timestamp", "timestamp '2024-01-01' + i * interval '1 hour'", "7 days"),
    "date": ("date", "date '2024-01-01' + i / 24", "7 days"),
    "milliseconds": ("bigint", "1704067200000 + i * 3600000::bigint", "604800000"),
    "number": ("integer", "i", "168"),
}


def cut(captured: Make, kind: str, batch_rows: int) -> Job:
    """2,400 rows, an hour apart, a week (168 rows) to a chunk, with batches of that many rows at most."""
    type_, value, interval = TIMES[kind]
    return captured(
        f"CREATE TABLE t (id bigint PRIMARY KEY, at {type_} NOT NULL);"
        f"INSERT INTO t SELECT i, {value} FROM generate_series(0, 2399) AS i; CREATE INDEX ON t (at)",
        options=PlanOptions(chunk_interval=interval, batch_rows=batch_rows, workers=1),
    )


@pytest.mark.peer(number=25)
@pytest.mark.parametrize("kind", TIMES)
def test_a_batch_is_as_wide_as_it_should_be(captured: Make, kind: str) -> None:
    """Not a tenth of it: whole chunks, as many together as a batch may have rows."""
    job = cut(captured, kind, 1_000)
    job.copy_all()
    rows = [count for (count,) in job.run("SELECT rows FROM {batch} ORDER BY id")]
    per_chunk = [count for (count,) in job.run("SELECT count(*) FROM {shadow} GROUP BY tableoid ORDER BY min(at)")]
    assert sum(rows) == 2_400
    assert per_chunk[1:-1] == [168] * (len(per_chunk) - 2)
    joined = [0]
    for count in per_chunk:
        if joined[-1] + count > 1_000:
            joined.append(0)
        joined[-1] += count
    assert rows == joined


@pytest.mark.peer(number=25)
def test_a_batch_has_no_more_rows_than_it_may(captured: Make) -> None:
    job = cut(captured, "timestamptz", 50)
    job.copy_all()
    rows = [count for (count,) in job.run("SELECT rows FROM {batch} ORDER BY id")]
    assert max(rows) == 50
    assert sum(rows) == 2_400
    assert len(rows) <= 16 * 4 + 1
