"""What is asked about a hypertable with many chunks, while the planner knows nothing of them yet: by effort that grows with the chunks, and
not with their square. At 1,000 chunks the fingerprint took 107 ms under the swap's locks for that reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import sql

from hyperferry.catalog import fingerprint_expression
from hyperferry.db import connect, execute, fetch_value, load_queries
from hyperferry.db.connection import Connection
from servers import Database

CHUNKS = 600


@pytest.fixture
def many(db: Database) -> Iterator[tuple[Connection, int]]:
    """A session, and the OID of a hypertable whose chunks the statistics have not seen."""
    db.execute(
        "CREATE TABLE t (id int, at timestamptz NOT NULL, PRIMARY KEY (id, at));"
        "SELECT create_hypertable('t', 'at', chunk_time_interval => interval '1 day');"
        f"INSERT INTO t SELECT i, timestamptz '2024-01-01' + i * interval '1 day' FROM generate_series(1, {CHUNKS}) AS i;"
        "CREATE VIEW v AS SELECT id FROM t;"
        "DELETE FROM pg_statistic WHERE starelid IN ('pg_inherits'::regclass, 'pg_depend'::regclass, 'pg_class'::regclass)"
    )
    with connect(db.dsn) as conn:
        yield conn, int(fetch_value(conn, "SELECT 'public.t'::regclass::oid::bigint"))


def most_rows(conn: Connection, statement: sql.Composable) -> float:
    """The most rows that a node of its plan read, all loops together, those it threw away included."""
    (plan,) = execute(conn, sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) {}").format(statement)).fetchone() or ((),)
    most = 0.0

    def look(node: dict[str, Any]) -> None:
        nonlocal most
        rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        most = max(most, rows * node["Actual Loops"])
        for child in node.get("Plans", []):
            look(child)

    look(plan[0]["Plan"])
    return most


def test_the_fingerprint(many: tuple[Connection, int]) -> None:
    conn, oid = many
    execute(conn, "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off")
    rows = most_rows(conn, sql.SQL("SELECT {}").format(fingerprint_expression(oid)))
    assert CHUNKS <= rows < 10 * CHUNKS


def test_what_depends_on_it(many: tuple[Connection, int]) -> None:
    conn, oid = many
    text = load_queries("hyperferry.catalog", "dependents.sql")["dependents"].as_string(None)
    rows = most_rows(conn, sql.SQL(text.replace("%(oid)s", str(oid)).replace("%%", "%")))  # type: ignore[arg-type]
    assert CHUNKS <= rows < CHUNKS * CHUNKS / 5  # the catalogs may be read whole
