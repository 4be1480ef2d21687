"""Indexes are built chunk by chunk where the root takes them for its own, else side by side after the load; each once, whoever
else builds."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import psycopg
import pytest
from job import HOURS, Job, Make, aside, eventually

from hyperferry.copy import chunk_indexes, indexes
from hyperferry.copy.chunk_indexes import Built, names_on
from hyperferry.copy.copier import Copied, Outcome, copy_next
from hyperferry.db.connection import Connection
from hyperferry.ledger.flow import Flow
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.rollout import Phase
from hyperferry.strategies import warming, workers
from servers import Database

TWO_INDEXES = HOURS + "CREATE INDEX t_v ON t (v);"
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'hyperferry%%index%%' AND wait_event_type = 'Lock' "
    "AND datname = current_database()"
)
BUILT = "SELECT array_agg(indexdef ORDER BY indexname) FROM pg_indexes WHERE schemaname = %s AND tablename = 't' AND indexname <> 't_pkey'"


@pytest.fixture
def loaded(job: Make) -> Job:
    """Everything is copied; two indexes are to be built."""
    return job(TWO_INDEXES, options=PlanOptions(chunk_interval="7 days", workers=2)).cut().copy_all()


def built(job: Job) -> list[str]:
    return job.value(BUILT, job.rollout.names.shadow.schema) or []


def test_one_is_built_while_another_has_to_wait(loaded: Job) -> None:
    with loaded.application() as other:
        loaded.on(other, f'CREATE TABLE "{loaded.rollout.names.shadow.schema}".t_at ()')
        started = aside(loaded.start)
        eventually("the other one is there", lambda: len(built(loaded)) == 1)
        eventually("the first one waits", lambda: loaded.value(WAITING))
        assert not started.done()
    assert started.result(60).phase is Phase.SYNCED
    assert [definition.rpartition(" ")[2] for definition in built(loaded)] == ["(at)", "(v)"]
    assert "2 indexes built" in loaded.said


def test_an_index_that_somebody_else_builds_meanwhile_is_built_once(loaded: Job) -> None:
    with loaded.application() as other:
        loaded.on(other, "CREATE INDEX t_at ON {shadow} (at)")
        started = aside(loaded.start)
        eventually("it waits for the builder", lambda: loaded.value(WAITING))
        other.commit()
    assert started.result(60).phase is Phase.SYNCED
    assert len(built(loaded)) == 2
    assert "1 indexes built" in loaded.said


def test_a_builder_that_loses_its_connection_builds_its_index_all_the_same(loaded: Job) -> None:
    with loaded.application() as other:
        loaded.on(other, f'CREATE TABLE "{loaded.rollout.names.shadow.schema}".t_at ()')
        started = aside(loaded.start)
        eventually("it waits", lambda: loaded.value(WAITING))
        # Waits for its end: until then it would be taken for the new one.
        assert loaded.value(
            "SELECT pg_terminate_backend(pid, 60000) " + WAITING.partition("SELECT count(*) ")[2]
        )
        eventually("it waits on a new connection", lambda: loaded.value(WAITING))
    assert started.result(60).phase is Phase.SYNCED
    assert len(built(loaded)) == 2
    assert any("index" in line and "the connection was lost" in line for line in loaded.said)


def test_each_chunk_is_analyzed_once(loaded: Job) -> None:
    """TimescaleDB adds the chunks to an ANALYZE, and so does PostgreSQL from 18 on: both, and each is read twice."""
    loaded.start()
    counted = (
        "SELECT count(*), min(s.analyze_count), max(s.analyze_count) FROM pg_inherits i "
        "JOIN pg_stat_all_tables s ON s.relid = i.inhrelid WHERE i.inhparent = %s"
    )
    shadow = loaded.rollout.hypertable_oid
    [(chunks, _, _)] = eventually(
        "statistics are told", lambda: (r := loaded.db.execute(counted, shadow))[0][1] and r
    )
    time.sleep(0.5)
    assert loaded.db.execute(counted, shadow) == [(chunks, 1, 1)]
    assert chunks >= 2
    whole = (
        "SELECT count(DISTINCT attname) FROM pg_stats WHERE schemaname = %s AND tablename = 't' AND inherited"
    )
    assert loaded.value(whole, loaded.rollout.names.shadow.schema) == 3, (
        "statistics of the hypertable as a whole"
    )


SMALL = PlanOptions(chunk_interval="1 day", batch_rows=10, workers=2)
ON_CHUNKS = (
    "SELECT c.relname::text, x.relname::text, i.indisvalid FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid "
    "JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid = i.indexrelid WHERE h.inhparent = %s AND NOT i.indisprimary"
)


def adopts(db: Database) -> bool:
    version = db.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")[0][0]
    return tuple(map(int, version.split(".")[:2])) >= (2, 22)


def each_once(job: Job) -> None:
    """Every chunk has each of the two indexes once, by TimescaleDB's names, and they go with the root's: they are its own."""
    found = job.db.execute(ON_CHUNKS, job.rollout.hypertable_oid)
    chunks = {chunk for chunk, _, _ in found}
    assert len(chunks) > 5
    assert Counter(chunk for chunk, _, _ in found) == dict.fromkeys(chunks, 2)
    assert all(valid for _, _, valid in found)
    assert {index.removeprefix(f"{chunk}_") for chunk, index, _ in found} == {"t_at", "t_v"}
    schema = job.rollout.names.shadow.schema
    job.db.execute(f'DROP INDEX "{schema}".t_at; DROP INDEX "{schema}".t_v')
    assert job.db.execute(ON_CHUNKS, job.rollout.hypertable_oid) == []


def test_a_chunks_indexes_are_built_while_others_are_copied(job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the version takes them for the root's own; elsewhere none is made before the root's."""
    own = job(TWO_INDEXES, options=SMALL)
    build = chunk_indexes.build
    pending: list[int] = []

    def noted(conn: Connection, flow: Flow, *rest: Any) -> Built:
        pending.append(own.value(f"SELECT count(*) FROM hyperferry.batch_{flow.rollout.id} WHERE state = 'pending'"))
        return build(conn, flow, *rest)

    copied: list[int] = []
    end = time.monotonic() + 60

    def waiting(conn: Connection, flow: Flow) -> Copied:
        """Half of the batches at once, the others when an index was built: whoever is quick or slow, there is a moment for it."""
        copied.append(1)
        if adopts(own.db) and len(copied) > 15 and not pending and time.monotonic() < end:
            time.sleep(0.01)
            return Copied(Outcome.COPIED)
        return copy_next(conn, flow)

    monkeypatch.setattr(chunk_indexes, "build", noted)
    monkeypatch.setattr(warming, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(workers, "copy_next", waiting)
    assert own.start().phase is Phase.SYNCED
    if adopts(own.db):
        chunks = own.value("SELECT count(*) FROM pg_inherits WHERE inhparent = %s", own.rollout.hypertable_oid)
        assert len(pending) == chunks
        assert pending[0] > 0, "the first of them long before the copy's end"
    else:
        assert pending == []
    assert "2 indexes built" in own.said
    each_once(own)


def test_a_role_that_may_make_none_on_chunks_has_them_built_on_the_root(job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    own = job(TWO_INDEXES, options=SMALL)
    role = own.db.make_role()
    own.db.execute(f'GRANT CREATE ON DATABASE "{own.db.name}" TO "{role}"; GRANT ALL ON SCHEMA public TO "{role}"')
    own.db.execute(f'ALTER TABLE t OWNER TO "{role}"')
    own.role = role
    monkeypatch.setattr(chunk_indexes, "build", None)
    assert own.start().phase is Phase.SYNCED
    each_once(own)


def begun_and_interrupted(own: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that ends when three chunks have their indexes."""
    build = chunk_indexes.build
    done: list[str] = []

    def breaks(conn: Connection, flow: Flow, chunk: chunk_indexes.CopiedChunk, helpers: int | None) -> Built:
        if len(done) == 3:
            raise psycopg.errors.DiskFull("no space left on device")
        done.append(chunk.name.name)
        return build(conn, flow, chunk, helpers)

    with monkeypatch.context() as patch:
        patch.setattr(chunk_indexes, "build", breaks)
        with pytest.raises(psycopg.errors.DiskFull):
            own.start()


def test_what_was_built_before_an_interruption_is_not_built_again(job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    own = job(TWO_INDEXES, options=SMALL)
    if not adopts(own.db):
        pytest.skip("TimescaleDB before 2.22 takes no chunk's index for the root's own")
    begun_and_interrupted(own, monkeypatch)
    before = {(chunk, index) for chunk, index, _ in own.db.execute(ON_CHUNKS, own.rollout.hypertable_oid)}
    assert len(before) >= 4
    build = chunk_indexes.build
    again: list[str] = []

    def noted(conn: Connection, flow: Flow, chunk: chunk_indexes.CopiedChunk, helpers: int | None) -> Built:
        again.append(chunk.name.name)
        return build(conn, flow, chunk, helpers)

    monkeypatch.setattr(chunk_indexes, "build", noted)
    assert own.start().phase is Phase.SYNCED
    assert not {chunk for chunk, _ in before} & set(again)
    each_once(own)


@pytest.mark.parametrize("copied", [False, True])
def test_a_chunk_that_a_lost_connection_left_is_built_by_the_next(
    job: Make, monkeypatch: pytest.MonkeyPatch, copied: bool
) -> None:
    """While others are copied, or after; and nothing is built twice for its sake."""
    own = job(TWO_INDEXES, options=SMALL)
    if not adopts(own.db):
        pytest.skip("TimescaleDB before 2.22 takes no chunk's index for the root's own")
    if copied:
        own.cut().copy_all()
    build = chunk_indexes.build
    lost: list[str] = []

    def loses(conn: Connection, flow: Flow, chunk: chunk_indexes.CopiedChunk, helpers: int | None) -> Built:
        if not lost:
            lost.append(chunk.name.name)
            conn.close()
            raise psycopg.OperationalError("the connection is lost")
        return build(conn, flow, chunk, helpers)

    monkeypatch.setattr(chunk_indexes, "build", loses)
    monkeypatch.setattr(chunk_indexes, "_drop", None)
    monkeypatch.setattr(warming, "LOOK_SECONDS", 0.0)
    assert own.start().phase is Phase.SYNCED
    assert lost
    each_once(own)


def test_a_chunks_index_of_another_is_left_to_the_root(job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is taken by somebody else's table, of all things."""
    own = job(TWO_INDEXES, options=SMALL).cut().copy_all()
    chunk = own.value("SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = %s", own.rollout.hypertable_oid)
    own.db.execute(f"CREATE TABLE {chunk}_t_at ()")
    assert own.start().phase is Phase.SYNCED
    found = Counter(chunk for chunk, _, _ in own.db.execute(ON_CHUNKS, own.rollout.hypertable_oid))
    assert set(found.values()) == {2}


# Each is printed in other words when it was read again from what is printed of it, or has what could be overlooked.
ODD = """
CREATE TABLE t (gone integer, id bigint PRIMARY KEY, at timestamptz NOT NULL, status varchar(20), v text);
ALTER TABLE t DROP COLUMN gone;
INSERT INTO t SELECT i, timestamptz '2024-01-01 00:00+00' + i * interval '1 hour', 'ab'[i % 2:i % 2], 'row ' || i FROM generate_series(1, 300) AS i;
""".replace("'ab'[i % 2:i % 2]", "substr('ab', 1 + (i % 2)::integer, 1)")
ODD_INDEXES = (
    "CREATE INDEX {} ON t (id) WHERE status IN ('a', 'b')",
    "CREATE INDEX {} ON t (id) WHERE status NOT IN ('a', 'c')",
    "CREATE INDEX {} ON t (lower(status) DESC NULLS LAST, (v || ' USING x') text_pattern_ops) INCLUDE (id) WITH (fillfactor = 70)",
    "CREATE INDEX {} ON t ((CASE WHEN status = 'a' THEN 1 ELSE 2 END)) WHERE at > '2024-01-03 00:00+02' AND id BETWEEN 1 AND 200",
    "CREATE INDEX {} ON t (v COLLATE \"C\", date_trunc('day', at, 'UTC')) WHERE v LIKE 'row%'",
)


def test_an_index_is_on_each_chunk_once_whatever_its_definition_looks_like(job: Make) -> None:
    named = [statement.format(f"odd_{number}") for number, statement in enumerate(ODD_INDEXES)]
    own = job(ODD + ";".join(named), options=SMALL)
    assert own.start().phase is Phase.SYNCED
    found = Counter(chunk for chunk, _, _ in own.db.execute(ON_CHUNKS, own.rollout.hypertable_oid))
    assert len(found) > 5
    assert set(found.values()) == {len(ODD_INDEXES)}
    schema = own.rollout.names.shadow.schema
    own.db.execute("; ".join(f'DROP INDEX "{schema}".odd_{number}' for number, _ in enumerate(ODD_INDEXES)))
    assert own.db.execute(ON_CHUNKS, own.rollout.hypertable_oid) == []
    assert own.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'hyperferry_probe%'") == 0


@pytest.mark.parametrize("copied", [False, True])
def test_a_chunk_that_somebody_vacuums_is_indexed_later(job: Make, monkeypatch: pytest.MonkeyPatch, copied: bool) -> None:
    """While others are copied, and after; the copy goes on. Not for ever: then it has its indexes with the root's."""
    own = job(TWO_INDEXES, options=SMALL).cut()
    if not adopts(own.db):
        pytest.skip("TimescaleDB before 2.22 takes no chunk's index for the root's own")
    if copied:
        own.copy_all()
    monkeypatch.setattr(chunk_indexes, "WAIT", "50ms")
    monkeypatch.setattr(warming, "LOOK_SECONDS", 0.0)
    # The last: batches are copied in order, so it is closed when all are.
    chunk = own.value("SELECT (array_agg(inhrelid::regclass::text ORDER BY inhrelid))[1] FROM pg_inherits WHERE inhparent = %s", own.rollout.hypertable_oid)
    with own.application() as other:
        own.on(other, f"LOCK TABLE {chunk} IN SHARE UPDATE EXCLUSIVE MODE")
        started = aside(own.start)
        eventually("everything is copied", lambda: own.value(f"SELECT count(*) FROM hyperferry.batch_{own.rollout.id} WHERE state = 'pending'") == 0)
        eventually("others are built", lambda: len(own.db.execute(ON_CHUNKS, own.rollout.hypertable_oid)) > 4)
        assert not started.done()
        other.rollback()
    assert started.result(60).phase is Phase.SYNCED
    each_once(own)


def test_a_chunk_that_stays_locked_is_left_to_the_root(job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    own = job(TWO_INDEXES, options=SMALL)
    if not adopts(own.db):
        pytest.skip("TimescaleDB before 2.22 takes no chunk's index for the root's own")
    build = chunk_indexes.build
    first: list[str] = []

    def locked(conn: Connection, flow: Flow, chunk: chunk_indexes.CopiedChunk, helpers: int | None) -> Built:
        first.append(chunk.name.name)
        return Built.NOT_NOW if chunk.name.name == first[0] else build(conn, flow, chunk, helpers)

    monkeypatch.setattr(chunk_indexes, "build", locked)
    monkeypatch.setattr(warming, "TRIES", 3)
    assert own.start().phase is Phase.SYNCED
    assert 3 <= Counter(first)[first[0]] <= 6  # while others are copied, and after
    assert any("gets its indexes with the hypertable's" in line for line in own.said)
    each_once(own)


def test_who_may_not_build_on_chunks_goes_on_with_what_somebody_else_began(job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two builders at a time: neither drops what some chunks have while the other builds."""
    own = job(TWO_INDEXES, options=SMALL)
    if not adopts(own.db):
        pytest.skip("TimescaleDB before 2.22 takes no chunk's index for the root's own")
    begun_and_interrupted(own, monkeypatch)
    statements: list[str] = []

    def made(*args: Any) -> Any:
        found = chunk_indexes.statements_of_root(*args)
        statements.extend(each.sql.as_string(None) for each in found)
        return found

    monkeypatch.setattr(indexes, "statements_of_root", made)
    monkeypatch.setattr(chunk_indexes, "may_build", lambda *_: False)  # as to a role that lacks the right
    assert own.start().phase is Phase.SYNCED
    assert [each.split()[:2] for each in statements] == [["CREATE", "INDEX"]] * 2
    each_once(own)


LONG = "an_index_with_a_name_of_sixty_three_bytes_which_is_the_longest_"


def test_indexes_with_the_longest_names_are_all_on_every_chunk(job: Make) -> None:
    """TimescaleDB cuts their names on the chunks to the same one. The first is built on the root, for its comment."""
    other, third = LONG[:-1] + "x", LONG[:-1] + "y"
    own = job(
        HOURS + f"CREATE INDEX {LONG} ON t (v); COMMENT ON INDEX {LONG} IS 'kept'; CREATE INDEX {other} ON t (v, at); CREATE INDEX {third} ON t (at, v)",
        options=SMALL,
    )
    assert own.start().phase is Phase.SYNCED
    defined = ON_CHUNKS.replace("i.indisvalid", "regexp_replace(pg_get_indexdef(x.oid), '^.* USING ', '')")
    found = own.db.execute(defined, own.rollout.hypertable_oid)
    each = Counter((chunk, definition) for chunk, _, definition in found)
    assert set(each.values()) == {1}
    assert {definition for _, definition in each} == {"btree (v)", "btree (v, at)", "btree (at, v)", "btree (at)"}


def test_two_long_names_on_one_chunk_are_two() -> None:
    long = LONG
    roots = [long, long[:-1] + "x", "short"]
    names = [name for _, name in names_on("_hyper_12_3456_chunk", roots)]
    assert len(set(names)) == 3
    assert all(len(name.encode()) <= 63 for name in names)
    assert names == [name for _, name in names_on("_hyper_12_3456_chunk", roots)]
    assert names[2] == "_hyper_12_3456_chunk_short"
