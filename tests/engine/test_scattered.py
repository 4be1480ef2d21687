"""A table whose rows do not lie in the order of their time is copied by ranges of its key, and told so; whatever is written
meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest
from job import Job, Make

from hyperferry.catalog import scatter
from hyperferry.model.plan import BatchBy
from hyperferry.model.plan_options import CompressionWish, PlanOptions
from hyperferry.model.rollout import Phase
from hyperferry.planner import describe

OPTIONS = PlanOptions(chunk_interval="1 day", batch_rows=100, workers=2)
# 2,000 rows of 40 days: `at` is all over the table, or in its order, upwards or downwards, or one part after the other.
TABLE = """
CREATE TABLE t (id {key}, at {type}, v text);
INSERT INTO t SELECT {id}, {at}, rpad('row ' || i, 200, '-') FROM generate_series(0, 1999) AS i;
ALTER TABLE t ADD PRIMARY KEY (id);
CREATE INDEX t_at ON t (at);
VACUUM ANALYZE t;
"""
ALL_OVER = "i * 1237 % 2000"  # 1237 and 2000 have no common divisor
PLACES = {
    "timestamptz NOT NULL": "timestamptz '2024-01-01 00:00+00' + ({}) * interval '28 minutes 48 seconds'",
    "timestamp": "timestamp '2024-01-01 00:00' + ({}) * interval '28 minutes 48 seconds'",
    "date NOT NULL": "date '2024-01-01' + ({}) / 50",
    "bigint NOT NULL": "1704067200 + ({})::bigint * 1728",
}


@pytest.fixture(autouse=True)
def _few_rows_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scatter, "DEFAULT_BATCH_ROWS", 100)


def made(job: Make, place: str, *, key: str = "bigint", id: str = "i", type: str = "timestamptz NOT NULL", options: PlanOptions = OPTIONS) -> Job:
    [*statements, vacuum] = TABLE.format(key=key, id=id, type=type, at=PLACES[type].format(place)).strip().removesuffix(";").split(";")
    own = job(";".join(statements), options=options)
    own.db.execute(vacuum)
    own.db.execute(f'ALTER DATABASE "{own.db.name}" SET effective_cache_size = 8')  # pages
    return own


@pytest.mark.parametrize("type", PLACES)
def test_rows_all_over_the_table_are_copied_in_the_order_of_the_key(job: Make, type: str) -> None:
    own = made(job, ALL_OVER, type=type)
    assert own.plan.batch_by is BatchBy.KEY
    [line] = [line for line in describe(own.plan) if line.startswith("Copying")]
    assert "ranges of the key (the table is larger than effective_cache_size, and its rows do not lie in the order of their time" in line
    report = own.start()
    assert report.phase is Phase.SYNCED
    assert own.value(f"SELECT count(*) FROM hyperferry.batch_{own.rollout.id}") >= 15


@pytest.mark.parametrize(
    ("place", "key", "id"),
    [
        ("i", "bigint", "i"),
        ("1999 - i", "bigint", "i"),
        # Four machines, one's days after those of another: their parts are as good as in order.
        ("i % 500 * 4 + i / 500", "bigint", "i"),
        # A key that is all over the table as well is no better.
        (ALL_OVER, "bigint", "i * 719 % 2000"),
        (ALL_OVER, "uuid", "md5(i::text)::uuid"),
    ],
    ids=["in order", "backwards", "machine by machine", "the key, too", "a random key"],
)
def test_elsewhere_by_the_time_as_ever(job: Make, place: str, key: str, id: str) -> None:
    assert made(job, place, key=key, id=id).plan.batch_by is BatchBy.TIME


def test_chunks_that_are_compressed_while_others_are_copied_need_the_order_of_the_time(job: Make) -> None:
    own = made(job, ALL_OVER, options=replace(OPTIONS, compression=CompressionWish()))
    if own.plan.inspection.server.edition == "apache":
        pytest.skip("compression needs the Community edition")
    assert own.plan.batch_by is BatchBy.TIME


def test_a_few_batches_are_read_as_ever(job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scatter, "DEFAULT_BATCH_ROWS", 1500)
    own = made(job, ALL_OVER)
    assert own.plan.inspection.scan is not None
    assert own.plan.inspection.scan.ranges_on_page is None
    assert own.plan.batch_by is BatchBy.TIME


def test_what_is_in_memory_is_read_as_ever(job: Make) -> None:
    own = made(job, ALL_OVER)
    own.db.execute(f'ALTER DATABASE "{own.db.name}" SET effective_cache_size = 800')
    assert own.plan.inspection.scan is not None
    assert own.plan.inspection.scan.ranges_on_page is None
    assert own.plan.batch_by is BatchBy.TIME


def test_rows_move_come_and_go_while_the_table_is_copied_by_its_key(job: Make) -> None:
    """To the cutover and back, with rows whose time and whose key pass every boundary meanwhile."""
    own = made(job, ALL_OVER).cut()
    with own.application() as app:
        own.on(app, "UPDATE {table} SET at = at + interval '7 days' WHERE id % 3 = 0")
        own.on(app, "UPDATE {table} SET id = id + 10000 WHERE id % 7 = 0")
        own.on(app, "DELETE FROM {table} WHERE id % 11 = 0")
        own.on(app, "INSERT INTO {table} SELECT -id, at, 'new' FROM {table} WHERE id BETWEEN 1 AND 50")
        app.commit()
    assert own.start().phase is Phase.SYNCED
    own.run("UPDATE t SET v = 'last', at = at - interval '3 days' WHERE id % 5 = 0")
    own.cutover()
    own.run("UPDATE t SET v = 'after' WHERE id % 13 = 0")
    own.run("DELETE FROM t WHERE id % 17 = 0")
    own.rollback()
    assert own.verify().match
