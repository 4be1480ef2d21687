"""Ranges of the key: what their order, their types and their size can have in them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from job import Job, Make
from psycopg import sql

from hyperferry.copy import copier
from hyperferry.errors import Refused
from hyperferry.ledger.objects import range_columns
from hyperferry.model.plan import BatchBy, Plan
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.rollout import Phase
from hyperferry.verify import ranges

BY_KEY = PlanOptions(chunk_interval="30 days", batch_rows=50, workers=2)
WORDS = "(ARRAY['a', 'B', 'c', 'D', 'e', 'F'])[1 + i % 6] || lpad(i::text, 4, '0')"


def by_key(job: Make, text: str, options: PlanOptions = BY_KEY) -> Job:
    own = job(text, options=options)
    assert own.plan.batch_by is BatchBy.KEY
    return own


@pytest.mark.parametrize("collation", ['pg_catalog."C"', 'pg_catalog."en-x-icu"'])
def test_the_ledger_has_the_order_of_a_domain_with_a_collation(job: Make, collation: str) -> None:
    """Else what one batch brings would be taken for another's, which is done: a row that is deleted meanwhile would stay."""
    own = by_key(
        job,
        f"CREATE DOMAIN code AS text COLLATE {collation}; CREATE DOMAIN inner_code AS code;"
        "CREATE TABLE t (k inner_code PRIMARY KEY, at timestamptz NOT NULL, v text);"
        f"INSERT INTO t SELECT {WORDS}, timestamptz '2024-01-01' + i * interval '1 hour', 'row' FROM generate_series(1, 400) AS i",
    ).cut()
    ends = own.run(f"SELECT count(*), count(*) FILTER (WHERE lo_k1 < hi_k1) FROM hyperferry.batch_{own.rollout.id} WHERE lo_k1 IS NOT NULL AND hi_k1 IS NOT NULL")
    assert ends[0][0] == ends[0][1] >= 5
    # Each row is in one batch, by the table's order and by the ledger's.
    covering = own.run(
        f"SELECT (SELECT count(*) FROM hyperferry.batch_{own.rollout.id} AS b WHERE (b.lo_k1 IS NULL OR p.k1 >= b.lo_k1) AND (b.hi_k1 IS NULL OR p.k1 < b.hi_k1)) AS n, count(*) "
        f"FROM (SELECT k::text COLLATE {collation} AS k1 FROM t) AS p GROUP BY 1"
    )
    assert covering == [(1, 400)]
    own.run("DELETE FROM t WHERE ascii(k) < 97")
    assert own.start().phase is Phase.SYNCED
    assert own.value(f'SELECT count(*) FROM "{own.rollout.names.shadow.schema}".t') == own.value("SELECT count(*) FROM t")


def test_a_key_of_a_domain_over_an_enum_is_cut(job: Make) -> None:
    own = by_key(
        job,
        "CREATE TYPE word AS ENUM ('x', 'y', 'a'); CREATE DOMAIN said AS word;"
        "CREATE TABLE t (d said, n integer, at timestamptz NOT NULL, v text, PRIMARY KEY (d, n));"
        "INSERT INTO t SELECT ((ARRAY['x', 'y', 'a'])[1 + i % 3])::said, i, timestamptz '2024-01-01' + i * interval '2 hours', 'row' FROM generate_series(1, 400) AS i",
    ).cut()
    assert own.value(f"SELECT count(*) FROM hyperferry.batch_{own.rollout.id}") == 8
    assert own.start().phase is Phase.SYNCED


def test_a_range_of_a_composite_key_is_known_to_be_small(job: Make) -> None:
    """Of two ends of a row PostgreSQL makes no range: one in the middle would be taken for a quarter of the table, and the whole
    table read for each."""
    own = by_key(
        job,
        "CREATE TABLE t (sensor integer, n integer, at timestamptz NOT NULL, v text, PRIMARY KEY (sensor, n));"
        "INSERT INTO t SELECT i / 50, i, timestamptz '2024-01-01' + i * interval '1 minute', 'row' FROM generate_series(0, 19999) AS i",
        PlanOptions(chunk_interval="30 days", batch_rows=500),
    )
    own.db.execute("ANALYZE t")
    own.cut()
    part = copier._Range(1, ("200", "10000"), ("210", "10500"))
    whole = ranges.Range(("200", "10000"), ("210", "10500"))
    assert len(range_columns(own.flow)) == 2
    for condition in (copier._within(own.flow, part, "s"), ranges.row_condition(own.flow, whole, "s")):
        with own.db.connect() as conn:
            [(plan,)] = conn.execute(sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM t AS s WHERE {}").format(condition)).fetchall()
            [(rows,)] = conn.execute(sql.SQL("SELECT count(*) FROM t AS s WHERE {}").format(condition)).fetchall()
        assert rows == 500
        assert plan[0]["Plan"]["Plan Rows"] < 1000, json.dumps(plan)
        assert "Seq Scan" not in json.dumps(plan)


@pytest.mark.parametrize("indexed", [False, True])
def test_rows_of_every_chunk_are_known_beforehand(job: Make, indexed: bool) -> None:
    """So that no batch has to make one. By the index on the time even of chunks that have a row alone."""
    index = "CREATE INDEX t_at ON t (at);" if indexed else ""
    own = job(
        "CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL, v text);"
        "INSERT INTO t SELECT i, timestamptz '2024-01-01' + i % 100 * interval '1 day', 'row' FROM generate_series(1, 2000) AS i;"
        f"INSERT INTO t VALUES (2001, '2019-05-05', 'alone'); {index}",
        options=PlanOptions(chunk_interval="30 days", batch_rows=500),
    )
    own.__dict__["plan"] = _by_key(own)
    own.cut()
    assert own.value("SELECT count(*) FROM pg_inherits WHERE inhparent = %s", own.rollout.hypertable_oid) == 5
    assert own.copy_all().start().phase is Phase.SYNCED


def _by_key(own: Job) -> Plan:
    return replace(own.plan, batch_by=BatchBy.KEY)


def test_a_row_without_a_time_is_refused_before_the_copy_whatever_the_batches_are(job: Make) -> None:
    own = job(
        "CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz, v text); CREATE INDEX t_at ON t (at);"
        "INSERT INTO t SELECT i, timestamptz '2024-01-01' + i * interval '1 hour', 'row' FROM generate_series(1, 300) AS i",
        options=BY_KEY,
    )
    own.__dict__["plan"] = _by_key(own)
    own.db.execute("INSERT INTO t VALUES (0, NULL, 'nowhen')")
    with pytest.raises(Refused, match="whose at is NULL"):
        own.start()
