"""Who is in the way, where sessions hold locks by the ten thousand: each lock is looked at a few times, not once for each other one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from hyperferry.db import blockers_of, connect, load_queries
from hyperferry.model.names import TableName
from servers import Database

CHILDREN, SESSIONS = 300, 4


@pytest.fixture
def crowded(db: Database) -> Iterator[Database]:
    """A table with many children, and sessions that each hold a lock on all of them."""
    db.execute("CREATE TABLE t (id int)")
    db.execute(
        f"DO $$ BEGIN FOR i IN 1..{CHILDREN} LOOP EXECUTE format('CREATE TABLE %I () INHERITS (t)', 'child ' || i); END LOOP; END $$"
    )
    with contextlib.ExitStack() as stack:
        for number in range(SESSIONS):
            holder = stack.enter_context(db.connect(autocommit=False, application_name=f"holder {number}"))
            holder.execute("LOCK TABLE t IN ROW EXCLUSIVE MODE")
        yield db


def looked_at(plan: dict[str, Any], function: str | None = None) -> Iterator[tuple[float, float]]:
    """For each node of a plan (each that reads the function) how many rows it gave or threw away, and in how many loops."""
    removed = sum(value for key, value in plan.items() if key.startswith("Rows Removed by"))
    if function in (None, plan.get("Function Name")):
        yield plan["Actual Rows"] + removed, plan["Actual Loops"]
    for below in plan.get("Plans", ()):
        yield from looked_at(below, function)


@pytest.mark.parametrize("chunks", [False, True])
def test_each_lock_is_looked_at_a_few_times(crowded: Database, chunks: bool) -> None:
    query = load_queries("hyperferry.db", "locks.sql")["blockers"].as_string(None)
    with connect(crowded.dsn, purpose="test") as conn:
        given = {"tables": ['"public"."t"'], "chunks": chunks}
        [[[found]]] = conn.execute("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + query, given).fetchall()  # type: ignore[arg-type]
    # Those that it saw: other tests' sessions take and release some all the time.
    locks = max(rows for rows, _ in looked_at(found["Plan"], "pg_lock_status"))
    assert locks >= CHILDREN * SESSIONS
    assert max(rows * loops for rows, loops in looked_at(found["Plan"])) <= 3 * locks


@pytest.mark.parametrize("chunks", [False, True])
def test_each_session_is_named_once(crowded: Database, chunks: bool) -> None:
    with connect(crowded.dsn, purpose="test") as conn:
        found = blockers_of(conn, [TableName("public", "t")], chunks=chunks)
    assert sorted(blocker.application for blocker in found) == [
        f"holder {number}" for number in range(SESSIONS)
    ]


def test_whoever_holds_a_chunk_alone_is_named_where_chunks_are_asked_for(crowded: Database) -> None:
    with (
        crowded.connect(autocommit=False, application_name="alone") as holder,
        connect(crowded.dsn, purpose="test") as conn,
    ):
        holder.execute('LOCK TABLE "child 7" IN SHARE UPDATE EXCLUSIVE MODE')
        table = [TableName("public", "t")]
        assert "alone" not in {blocker.application for blocker in blockers_of(conn, table)}
        assert "alone" in {blocker.application for blocker in blockers_of(conn, table, chunks=True)}
