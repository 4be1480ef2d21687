"""I7: the way back loses nothing: every write made since the cutover is in the old table, and what cannot be there is told."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest
from job import aside
from swap_support import (
    Ready,
    before_swap_message,
    insert,
    outcome,
    ready_fixture,  # noqa: F401
    refused,
    same_after_sync,
    templates_fixture,  # noqa: F401
)

from hyperferry.cutover import dropped, runner
from hyperferry.db.connection import Connection
from hyperferry.errors import Refused, Usage
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.rollout import Phase
from servers import Server

ACCEPT = frozenset({dropped.RULE})
DROP_JANUARY = "SELECT drop_chunks('t', timestamptz '2024-02-01')"


# Every write arrives.


def test_writes_of_several_roles_arrive_in_old(ready: Ready) -> None:
    """Roles without any right on the ledger or on old write through the name, by every kind of statement."""
    job = ready()
    clerk, robot = job.db.make_role(), job.db.make_role()
    job.db.execute(
        f'GRANT SELECT, INSERT, UPDATE, DELETE ON t TO "{clerk}"; GRANT USAGE ON SEQUENCE t_id_seq TO "{clerk}"'
    )
    job.db.execute(f'GRANT "{clerk}" TO "{robot}"')
    with pytest.raises(Refused):
        job.cutover()  # the grants are newer than the plan
    job.abort()
    again = type(job)(job.db, job.table, job.options)
    again.start()
    again.cutover()
    for role in (clerk, robot, None):
        insert(again, role=role)
        again.run("UPDATE t SET v = v + 1, at = at + interval '1 minute' WHERE id % 50 = 1", role=role)
        again.run("DELETE FROM t WHERE id = (SELECT min(id) FROM t)", role=role)
        again.run("MERGE INTO t USING (VALUES (300), (90001)) AS x(i) ON t.id = x.i WHEN MATCHED THEN UPDATE SET note = 'merged' "
                  "WHEN NOT MATCHED THEN INSERT (id, at) VALUES (x.i, '2024-03-01') ", role=role)  # fmt: skip
        again.run("DELETE FROM t WHERE id = 90001", role=role)
    same_after_sync(again)
    again.rollback()
    assert again.value("SELECT count(*) FROM t WHERE note IN ('new', 'merged')") == 4
    again.close()


def test_a_truncation_through_the_hypertable_arrives_in_old(ready: Ready) -> None:
    job = ready()
    job.cutover()
    kept = insert(job, note="before")
    job.run("TRUNCATE t")
    after = insert(job, note="after")
    same_after_sync(job)
    job.rollback()
    assert job.run("SELECT id, note FROM t") == [(after, "after")]
    assert after > kept


def test_rows_that_change_their_chunk_by_delete_and_insert_arrive(ready: Ready) -> None:
    job = ready()
    job.cutover()
    job.run("WITH gone AS (DELETE FROM t WHERE id < 20 RETURNING *) "
            "INSERT INTO t SELECT id, at + interval '200 days', n, v, 'moved' FROM gone")  # fmt: skip
    same_after_sync(job)
    job.rollback()
    assert job.value("SELECT count(*) FROM t WHERE note = 'moved'") == 19


def test_back_and_forth_many_times(ready: Ready) -> None:
    """Writes in between, each way; each way asked for twice."""
    job = ready()
    kept = set()
    for turn in range(3):
        for way, phase in ((job.cutover, Phase.CUT_OVER), (job.rollback, Phase.ROLLED_BACK)):
            assert way().phase is phase
            assert way().attempts == 0
            kept.add(insert(job, at=f"2024-0{turn + 1}-15", note=f"turn {turn}"))
            job.run("UPDATE t SET v = v + 1 WHERE id %% 9 = %s", turn)
            job.run("DELETE FROM t WHERE id = %s", 10 + turn)
    same_after_sync(job)
    assert job.value("SELECT count(*) FROM t WHERE id = ANY(%s)", list(kept)) == 6
    assert job.value("SELECT count(*) FROM t") == 400 - 3 + 6
    job.cutover()
    assert job.value("SELECT count(*) FROM t") == 400 - 3 + 6
    same_after_sync(job)


def test_writes_that_no_trigger_saw_are_found_before_the_way_back(ready: Ready) -> None:
    """A session in the role of a replica fires no ordinary trigger: capture on a hypertable misses it, verification does not."""
    job = ready()
    job.cutover()
    with job.db.connect() as conn:
        conn.execute("SET session_replication_role = replica")
        conn.execute("INSERT INTO t (at, note) VALUES ('2024-02-02', 'unseen')")
    with refused(job, Refused, "not the same"):
        job.rollback()
    assert job.verify(repair=True).match
    job.rollback()
    assert job.value("SELECT count(*) FROM t WHERE note = 'unseen'") == 1


# What the old keys would refuse.


@pytest.mark.peer(number=8)
def test_a_duplicate_of_the_old_key_is_told_at_once_and_stops_the_rollback(ready: Ready) -> None:
    job = ready()
    job.cutover()
    job.run("INSERT INTO t (id, at, note) VALUES (7, '2024-03-03', 'twin')")
    insert(job)
    job.sync()
    status = job.status()
    assert status.quarantined_count >= 1
    assert {pair.pair["id"] for pair in status.quarantined} == {"7"}
    assert "duplicate key" in status.quarantined[0].reason
    with refused(job, Refused) as _:
        job.rollback()
    with pytest.raises(Refused, match="quarantine"):
        job.rollback()
    with pytest.raises(Refused, match="cannot take"):
        job.rollback(unverified=True)
    assert job.value("SELECT count(*) FROM {source} WHERE note = 'new'") == 1, "it stops nothing else"
    job.run("DELETE FROM t WHERE id = 7 AND note = 'twin'")
    job.rollback()
    assert job.value("SELECT count(*) FROM t WHERE id = 7") == 1
    assert job.status().quarantined_count == 0
    same_after_sync(job)


def test_a_twin_that_takes_the_place_of_its_row_comes_back(ready: Ready) -> None:
    """Of two rows with one old key the first goes: the second, in quarantine until then, is tried again."""
    job = ready()
    job.cutover()
    job.run("INSERT INTO t (id, at, note) VALUES (7, '2024-03-03', 'twin')")
    job.sync()
    job.run("DELETE FROM t WHERE id = 7 AND note <> 'twin'")
    job.rollback()
    assert job.value("SELECT note FROM t WHERE id = 7") == "twin"
    same_after_sync(job)


# Dropped chunks: no trigger fires.


def test_dropped_chunks_are_recorded_shown_and_counted_apart(ready: Ready) -> None:
    job = ready()
    job.cutover()
    assert job.status().dropped_ranges == ()
    gone = job.value("SELECT count(*) FROM t WHERE at < '2024-02-01'")
    job.run(DROP_JANUARY)
    gone -= job.value("SELECT count(*) FROM t WHERE at < '2024-02-01'")
    assert gone > 100
    shown = job.status().dropped_ranges
    assert len(shown) == 1, "neighbours are one range"
    assert " to 2024-02-01 00:00:00+00" in shown[0]
    insert(job)
    job.sync()
    events = job.run(
        "SELECT detail->>'from', detail->>'to' FROM hyperferry.event WHERE kind = 'dropped' ORDER BY 1"
    )
    assert len(events) >= 4
    report = job.verify()
    assert report.match
    assert (report.dropped_target_rows, report.dropped_source_rows) == (gone, 0)
    assert len(report.dropped) == 1


def test_rows_of_dropped_chunks_do_not_come_back_unless_accepted(ready: Ready) -> None:
    job = ready()
    job.cutover()
    before = job.value("SELECT count(*) FROM t")
    job.run(DROP_JANUARY)
    left = job.value("SELECT count(*) FROM t")
    new = insert(job)
    for options in ({}, {"unverified": True}):
        with refused(job, Refused, f"bring back {before - left} rows"):
            job.rollback(**options)
    with pytest.raises(Usage):
        job.rollback(accept=frozenset({"all"}))
    job.rollback(accept=ACCEPT)
    assert job.value("SELECT count(*) FROM t") == before + 1
    # The hypertable has not got them: no cutover before they are there too.
    with refused(job, Refused, "not the same"):
        job.cutover()
    assert job.verify(repair=True).match
    job.cutover()
    assert job.status().dropped_ranges == (), "a new cutover begins anew"
    assert job.value("SELECT count(*) FROM t WHERE id = %s", new) == 1
    same_after_sync(job)


def test_rows_of_dropped_chunks_that_were_deleted_from_old_stand_in_no_ones_way(ready: Ready) -> None:
    """By the very statement that the refusal shows."""
    job = ready()
    job.cutover()
    job.run(DROP_JANUARY)
    left = job.value("SELECT count(*) FROM t")
    with pytest.raises(Refused) as caught:
        job.rollback()
    statement = str(caught.value).split("old table first: ")[1]
    job.db.execute(statement)
    job.rollback()
    assert job.value("SELECT count(*) FROM t") == left
    same_after_sync(job)


def test_rows_written_into_a_dropped_range_later_are_kept(ready: Ready) -> None:
    """The chunk is made anew; the range stays recorded as dropped, and the new rows travel as all others do."""
    job = ready()
    job.cutover()
    job.run(DROP_JANUARY)
    new = insert(job, at="2024-01-10", note="late")
    shown = job.status().dropped_ranges
    assert len(shown) == 1
    job.sync()
    assert job.status().dropped_ranges == shown
    assert job.value("SELECT count(*) FROM {source} WHERE id = %s", new) == 1
    with pytest.raises(Refused):
        job.rollback()
    job.rollback(accept=ACCEPT)
    assert job.value("SELECT count(*) FROM t WHERE id = %s", new) == 1


def test_truncate_is_no_dropped_chunk(ready: Ready) -> None:
    """It drops the hypertable's chunks, and has a trigger: rows that come and go afterwards are compared, and stand in no one's way."""
    job = ready()
    job.cutover()
    job.run(DROP_JANUARY)
    assert len(job.status().dropped_ranges) == 1
    job.run("TRUNCATE t")
    kept, brief = (insert(job, at="2024-02-10", note=note) for note in ("kept", "brief"))
    assert job.status().dropped_ranges == (), "its chunks are not taken for dropped"
    job.sync()
    assert job.status().dropped_ranges == ()
    job.run("UPDATE {source} SET note = 'other' WHERE id = %s", kept)
    assert not job.verify().match, "nothing is left out of the comparison"
    job.run("UPDATE {source} SET note = 'kept' WHERE id = %s", kept)
    assert job.verify().match
    job.run("DELETE FROM t WHERE id = %s", brief)  # waits in the backlog
    job.rollback()
    assert job.run("SELECT id FROM t") == [(kept,)]
    same_after_sync(job)


def test_rows_of_a_dropped_range_that_the_backlog_removes_do_not_come_back(ready: Ready) -> None:
    """Written into the range after its chunk was dropped, carried to old, and deleted a moment before the rollback."""
    job = ready()
    job.cutover()
    job.run("DELETE FROM t WHERE at < '2024-02-01'")
    job.sync()
    job.run(DROP_JANUARY)
    assert len(job.status().dropped_ranges) == 1
    new = insert(job, at="2024-01-10", note="late")
    job.sync()
    assert job.verify().match
    job.run("DELETE FROM t WHERE id = %s", new)
    job.rollback()
    assert job.value("SELECT count(*) FROM t WHERE at < '2024-02-01'") == 0


def test_a_chunk_that_is_dropped_at_the_last_moment_stops_the_rollback(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the verification and the look, before the lock: seen under the lock."""
    job = ready()
    job.cutover()
    with monkeypatch.context() as patch:
        before_swap_message(patch, lambda conn: job.run(DROP_JANUARY) and None)
        with pytest.raises(Refused, match="would bring back"):
            job.rollback()
    assert job.phase() == "cut_over"
    with pytest.raises(Refused, match="bring back"):
        job.rollback()


LONG_AGO = "2019-03-03"
DROP_LONG_AGO = "SELECT drop_chunks('t', timestamptz '2020-01-01')"


def test_a_chunk_that_came_and_went_between_two_looks_is_known(ready: Ready) -> None:
    """Its rows were carried back while nobody looked at the chunks: the transaction that did it knows them."""
    job = ready()
    job.cutover()
    assert job.verify().match
    dropped.look(job.conn, job.flow)
    insert(job, at=LONG_AGO)
    assert job.apply_all(slice_rows=1) == 1
    job.run(DROP_LONG_AGO)
    with refused(job, Refused, "bring back 1 rows"):
        job.rollback()
    assert len(job.status().dropped_ranges) == 1
    job.rollback(accept=ACCEPT)


def test_a_chunk_that_was_made_anew_between_two_looks_hides_none_that_was_dropped(ready: Ready) -> None:
    """What is dropped is noted before what is new is known."""
    job = ready()
    job.cutover()
    assert job.verify().match
    gone = job.value("SELECT count(*) FROM t WHERE at < '2024-01-11'")
    applier = job.applier()
    insert(job, at="2024-02-10")
    applier.drain(pending_batches=False)
    job.run("SELECT drop_chunks('t', timestamptz '2024-01-11')")
    gone -= job.value("SELECT count(*) FROM t WHERE at < '2024-01-11'")
    assert gone > 10
    insert(job, at="2024-01-05", note="late")
    applier.drain(pending_batches=False)
    insert(job, at="2024-01-06", note="later")
    applier.drain(pending_batches=False)
    assert job.value("SELECT count(*) FROM hyperferry.event WHERE kind = 'dropped'") > 0
    with refused(job, Refused, f"bring back {gone} rows"):
        job.rollback()


@pytest.mark.parametrize("written", [False, True], ids=["nothing else is written", "and the next attempt carries another row"])
def test_a_chunk_that_came_and_went_between_two_attempts_stops_the_rollback(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    """The first attempt carries its row to old and gives way; what the second notes as dropped was judged by nobody."""
    job = ready()
    job.cutover()
    assert job.verify().match
    drain = runner.drain
    drains: list[int] = []

    def first_insert(*args: Any) -> None:
        if not drains:
            insert(job, at=LONG_AGO)
        drains.append(1)
        drain(*args)

    def give_way(conn: Connection) -> None:
        assert job.value("SELECT count(*) FROM {source} WHERE at = %s", LONG_AGO) == 1
        job.run(DROP_LONG_AGO)
        if written:
            insert(job)
        raise psycopg.errors.LockNotAvailable("somebody is in the way")

    monkeypatch.setattr(runner, "drain", first_insert)
    before_swap_message(monkeypatch, give_way)
    with pytest.raises(Refused, match="bring back 1 rows"):
        job.rollback()
    assert len(drains) >= 2
    assert job.phase() == "cut_over"


def test_a_chunk_that_somebody_else_notes_as_dropped_at_the_last_moment_stops_the_rollback(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `sync` beside it looks when the rollback has looked: noted is not judged."""
    job = ready()
    job.cutover()
    assert job.verify().match

    def drop(conn: Connection) -> None:
        job.run(DROP_JANUARY)
        dropped.look(job.conn, job.flow)

    with monkeypatch.context() as patch:
        before_swap_message(patch, drop)
        with pytest.raises(Refused, match="would bring back"):
            job.rollback()
    assert job.phase() == "cut_over"
    job.rollback(accept=ACCEPT)


def test_a_look_waits_for_an_applier_that_notes_the_same(ready: Ready) -> None:
    """It does not fail: it is tried again."""
    job = ready()
    job.cutover()
    job.run(DROP_JANUARY)
    with job.application() as other:
        job.on(other, "UPDATE hyperferry.chunk_1 SET dropped_at = now() WHERE high < '2024-02-01'")
        looking = aside(lambda: dropped.look(job.conn, job.flow))
        time.sleep(1)  # longer than any lock is waited for
        other.commit()
        assert len(outcome(looking)) == 1


def test_a_chunk_without_rows_that_is_dropped_stops_nothing(ready: Ready) -> None:
    job = ready()
    job.cutover()
    job.run("DELETE FROM t WHERE at < '2024-02-01'")
    job.run(DROP_JANUARY)
    job.sync()
    job.rollback()
    same_after_sync(job)


KINDS = {
    "timestamp": ("timestamp", "timestamp '2024-01-01' + i * interval '1 day'", "timestamp '2024-02-01'"),
    "date": ("date", "date '2024-01-01' + i", "date '2024-02-01'"),
    "integer": ("integer", "i", "30"),
    "uuid": (
        "uuid",
        "regexp_replace(lpad(to_hex(1704067200000 + i * 86400000::bigint), 12, '0') || '70008000' || lpad(i::text, 12, '0'), "
        "'(.{8})(.{4})(.{4})(.{4})', '\\1-\\2-\\3-\\4-')::uuid",
        "timestamptz '2024-02-01'",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_dropped_ranges_of_every_kind_of_time(ready: Ready, server: Server, kind: str) -> None:
    if kind == "uuid" and server.release == "stable":
        pytest.skip("TimescaleDB 2.19 cannot cut by a uuid; 2.22 was the first that could")
    type_, value, until = KINDS[kind]
    value += " FROM generate_series(1, 60) AS i"
    text = (
        f"CREATE TABLE t (id bigint PRIMARY KEY, at {type_} NOT NULL, note text); "
        f"INSERT INTO t (id, at) SELECT i, {value}; CREATE INDEX ON t (at);"
    )
    job = ready(text, PlanOptions(chunk_interval="10" if kind == "integer" else "7 days", workers=1))
    job.cutover()
    before = job.value("SELECT count(*) FROM t")
    job.run(f"SELECT drop_chunks('t', {until}{'::integer' if kind == 'integer' else ''})")
    left = job.value("SELECT count(*) FROM t")
    assert 0 < left < before
    report = job.verify()
    assert report.match, report.differences
    assert report.dropped_target_rows == before - left
    with pytest.raises(Refused, match=f"bring back {before - left} rows"):
        job.rollback()
    job.rollback(accept=ACCEPT)
    assert job.value("SELECT count(*) FROM t") == before


def test_old_refuses_nothing_and_fires_nothing_meanwhile(ready: Ready) -> None:
    """No foreign key and no trigger of the user's on old: they have done their work on the hypertable already."""
    job = ready(
        """
        CREATE TABLE parent (n integer PRIMARY KEY);
        INSERT INTO parent SELECT generate_series(0, 9);
        CREATE TABLE fired (id bigint);
        CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO fired VALUES (NEW.id); NEW.note = ''seen'' || coalesce(NEW.note, ''''); RETURN NEW; END';
        CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL,
            n integer REFERENCES parent ON DELETE CASCADE, note text);
        INSERT INTO t (at, n) SELECT timestamptz '2024-01-01' + i * interval '6 hours', i % 5 FROM generate_series(1, 100) AS i;
        CREATE TRIGGER fire BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION fire();
        """
    )
    job.cutover()
    hung = "SELECT count(*) FROM pg_constraint WHERE conrelid = %s AND contype = 'f'"
    assert job.value(hung, job.rollout.source_oid) == 0
    assert job.value(hung, job.rollout.hypertable_oid) == 1
    new = job.value("INSERT INTO t (at, n, note) VALUES ('2024-02-02', 9, '!') RETURNING id")
    job.run("DELETE FROM parent WHERE n = 4")
    same_after_sync(job)
    assert job.run("SELECT id FROM fired") == [(new,)], "once"
    assert job.value("SELECT note FROM {source} WHERE id = %s", new) == "seen!"
    job.rollback()
    assert job.value(hung, job.rollout.source_oid) == 1
    assert job.value(hung, job.rollout.hypertable_oid) == 0
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        job.run("INSERT INTO t (at, n) VALUES ('2024-02-02', 4)")
    assert job.value("INSERT INTO t (at, n, note) VALUES ('2024-02-02', 3, '?') RETURNING note") == "seen?"
    same_after_sync(job)
