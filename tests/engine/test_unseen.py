"""Ways in for writes that no trigger of ours sees: none of them is swapped over (I1, I5, I7)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from job import Job, aside, eventually
from psycopg import sql
from swap_support import (
    SMALL,
    WEEKS,
    Ready,
    before_swap_message,
    ready_fixture,  # noqa: F401
    refused,
    templates_fixture,  # noqa: F401
)

from hyperferry import engine
from hyperferry.cutover import block
from hyperferry.errors import LockUnavailable, Refused, SchemaChanged
from hyperferry.ledger.flow import Flow
from hyperferry.model.rollout import Phase
from hyperferry.model.statement import Statement
from kit.tables import described
from servers import Database

CHILD = "CREATE TABLE t_child () INHERITS (t); INSERT INTO t_child (at, n) VALUES ('2024-01-15', 1)"


def subscribe(db: Database, table: str = "t") -> None:
    """A subscription that writes into the table, as the catalogs show it. There is no publisher."""
    db.execute("CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false, slot_name = NONE)")
    db.execute(
        "SET allow_system_table_mods = on; INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) "
        f"SELECT oid, '{table}'::regclass, 'r' FROM pg_subscription WHERE subdbid = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    )


@pytest.fixture(name="unsubscribed")
def unsubscribed_fixture(ready: Ready) -> Iterator[Ready]:
    """`ready`, without the subscription at the end: a database that has one cannot be dropped."""
    jobs: list[Job] = []

    def make() -> Job:
        jobs.append(ready())
        return jobs[-1]

    yield make
    for job in jobs:
        job.db.execute("DROP SUBSCRIPTION IF EXISTS s")


def test_a_child_table_made_after_the_start_stops_the_cutover(ready: Ready) -> None:
    """Its rows are seen through the table, and would be no longer."""
    job = ready()
    job.db.execute(CHILD)
    with refused(job, Refused, "inheritance parent"):
        job.cutover()
    assert any("inheritance parent" in text for text in engine.cutover_dry_run(job.db.dsn, "t").refusals)
    job.db.execute("DROP TABLE t_child")
    assert job.cutover().phase is Phase.CUT_OVER


def test_a_child_table_made_at_the_last_moment_stops_the_cutover(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made after everything that is looked at beforehand: the look under the lock finds it."""
    job = ready()
    seen = before_swap_message(monkeypatch, lambda conn: job.db.execute(CHILD))
    with pytest.raises(SchemaChanged, match="a child table"):
        job.cutover()
    assert len(seen) == 1
    assert job.phase() == "synced"
    assert job.value("SELECT count(*) FROM t") == 401


def test_a_subscription_made_after_the_start_stops_the_cutover(unsubscribed: Ready) -> None:
    """Triggers by statement do not fire for what it writes."""
    job = unsubscribed()
    subscribe(job.db)
    with refused(job, Refused, "The subscription s writes"):
        job.cutover()
    job.db.execute("DROP SUBSCRIPTION s")
    assert job.cutover().phase is Phase.CUT_OVER


def test_a_subscription_made_at_the_last_moment_stops_the_cutover(
    unsubscribed: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = unsubscribed()
    seen = before_swap_message(monkeypatch, lambda conn: subscribe(job.db))
    with pytest.raises(SchemaChanged, match="a subscription writes"):
        job.cutover()
    assert len(seen) == 1
    assert job.phase() == "synced"


@pytest.mark.parametrize("where", ["hypertable", "chunk"])
def test_a_subscription_on_the_hypertable_stops_the_rollback(
    unsubscribed: Ready, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The triggers of a hypertable do not fire for what it writes, into the root or into a chunk."""
    job = unsubscribed()
    job.cutover()
    target = "t" if where == "hypertable" else str(job.value("SELECT c::text FROM show_chunks('t') AS c LIMIT 1"))
    seen = before_swap_message(monkeypatch, lambda conn: subscribe(job.db, target))
    with pytest.raises(SchemaChanged, match="a subscription writes"):
        job.rollback()
    assert len(seen) == 1
    if where == "hypertable":
        with pytest.raises(Refused, match="The subscription s writes"):
            job.rollback()
    job.db.execute("DROP SUBSCRIPTION s")
    assert job.rollback().phase is Phase.ROLLED_BACK


# Writes into a chunk by its own name.


def raced(job: Job, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Has the first swap rest between its drain and its last looks, and another session do `text` meanwhile."""
    statements = block.swap_statements
    rests = [Statement("swap", "rest", sql.SQL("SELECT pg_sleep(0.5)"))]

    def patched(flow: Flow) -> tuple[Statement, ...]:
        return (*([rests.pop()] if rests else ()), *statements(flow))

    def write() -> None:
        eventually("rest", lambda: job.db.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
        job.db.execute(text)

    monkeypatch.setattr(block, "swap_statements", patched)
    aside(write)


def a_chunk(job: Job) -> str:
    return str(job.value("SELECT c::text FROM show_chunks('t') AS c LIMIT 1"))


def test_a_rollback_gives_way_to_who_writes_into_a_chunk(ready: Ready) -> None:
    """Such a session holds no lock on the hypertable, and what it commits after the swap would be carried to nowhere."""
    job = ready()
    job.cutover()
    with job.application() as conn:
        conn.execute(f"DELETE FROM {a_chunk(job)} WHERE id < 4")
        pid = conn.info.backend_pid
        with refused(job, LockUnavailable, "gave way"):
            job.rollback(attempts=2)
        assert any(f"a chunk is being written into by its own name: session {pid}" in text for text in job.said)
        conn.rollback()
    assert job.rollback().phase is Phase.ROLLED_BACK
    assert job.value("SELECT count(*) FROM t") == 400


def test_what_is_committed_into_a_chunk_after_the_drain_is_not_lost(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is looked at once more at the end: the first attempt gives way, the second carries it back."""
    job = ready()
    job.cutover()
    chunk = a_chunk(job)
    raced(job, monkeypatch, f"DELETE FROM {chunk} WHERE id < 4")
    assert job.rollback().attempts == 2
    assert any("was written into by its own name meanwhile" in text for text in job.said)
    assert job.value("SELECT count(*) FROM t") == 397


def test_readers_and_vacuum_of_chunks_do_not_hold_a_rollback_up(ready: Ready) -> None:
    job = ready()
    job.cutover()
    with job.application() as reader, job.application() as vacuum:
        reader.execute(f"SELECT FROM {a_chunk(job)}; LOCK TABLE {a_chunk(job)} IN ROW SHARE MODE")
        vacuum.execute(f"LOCK TABLE {a_chunk(job)} IN SHARE UPDATE EXCLUSIVE MODE")
        assert job.rollback().attempts == 1


# A table that becomes a chunk.


@pytest.mark.parametrize("when", ["before", "at the last moment"])
def test_rows_attached_as_a_chunk_after_the_verification_are_not_lost(
    community_db: Database, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """They come in with a table, and no trigger knows of them: the proof no longer counts, and the new one finds them. The
    Apache edition attaches nothing."""
    community_db.execute(SMALL)
    with community_db.connect() as conn:
        job = Job(community_db, described(conn, "public", "t", "at", "id"), WEEKS)
    job.start()
    job.cutover()
    assert job.verify().match

    def attach() -> None:
        job.db.execute(
            "CREATE TABLE n (LIKE t INCLUDING DEFAULTS INCLUDING CONSTRAINTS); "
            "INSERT INTO n (id, at) SELECT 5000 + i, timestamptz '2025-01-02 00:00+00' + i * interval '1 hour' "
            "FROM generate_series(1, 30) AS i; SELECT _timescaledb_functions.create_chunk('t', "
            "'{\"at\": [1735776000000000, 1736380800000000]}'::jsonb, NULL, NULL, 'n'::regclass)"
        )

    if when == "before":
        attach()
        job.sync()  # which looks at the chunks too, and proves nothing
    else:
        before_swap_message(monkeypatch, lambda conn: attach())
    with pytest.raises(Refused, match="not the same"):
        job.rollback()
    assert job.verify(repair=True).match
    assert job.rollback().phase is Phase.ROLLED_BACK
    assert job.value("SELECT count(*) FROM t") == 430
    job.close()


def test_chunks_that_writes_make_void_no_proof(ready: Ready) -> None:
    job = ready()
    job.cutover()
    assert job.verify().match
    job.said.clear()
    job.run("INSERT INTO t (at) VALUES ('2027-01-01')")
    job.rollback()
    assert not [text for text in job.said if text.startswith("verif")]
