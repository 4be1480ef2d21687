"""Changes of rows that fire no trigger and leave no definition behind: a proof of before does not count for a swap (I5, I7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from job import Job
from swap_support import (
    CHILD,
    SMALL,
    VIEWED,
    Ready,
    before_swap_message,
    ready_fixture,  # noqa: F401
    refused,
    templates_fixture,  # noqa: F401
)
from test_unseen import subscribe, unsubscribed_fixture  # noqa: F401

from hyperferry import engine, swapping
from hyperferry.cutover import dropped
from hyperferry.db.connection import Connection
from hyperferry.errors import Refused, SchemaChanged
from hyperferry.ledger import store
from hyperferry.ledger.flow import flow_of
from hyperferry.model.inspection import Inspection
from hyperferry.model.rollout import Phase, Rollout
from hyperferry.waiting import Appointment

JANUARY = "timestamptz '2024-02-01'"
OTHER_VALUES = "ALTER TABLE t ALTER n TYPE integer USING n * 10"
"""The type stays what it is, and every row changes."""


def verifications(job: Job) -> int:
    return int(job.value("SELECT count(*) FROM hyperferry.verification"))


def total(job: Job) -> int:
    return int(job.value("SELECT sum(n) FROM t"))


def mended(job: Job) -> None:
    """The difference that a refusal told of, mended as it says."""
    assert job.verify(repair=True).match


# Rewrites.


@pytest.mark.parametrize("way", ["cutover", "rollback"])
def test_a_rewrite_with_other_values_is_not_swapped_over(ready: Ready, way: str) -> None:
    job = ready()
    if way == "rollback":
        job.cutover()
        assert job.verify().match
    job.db.execute(OTHER_VALUES)
    there = total(job)
    with refused(job, Refused, "not the same"):
        getattr(job, way)()
    mended(job)
    getattr(job, way)()
    assert total(job) == there


def test_a_rewrite_at_the_last_moment_is_seen_under_the_lock(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ready()
    seen = before_swap_message(monkeypatch, lambda conn: job.db.execute(OTHER_VALUES))
    with pytest.raises(Refused, match="not the same"):
        job.cutover()
    assert len(seen) == 1
    assert "written anew" in " ".join(job.said)
    assert job.phase() == "synced"


def test_a_type_that_was_changed_and_changed_back_is_no_undoing(ready: Ready) -> None:
    """As a refusal asks for: the column is what it was, its values are not."""
    job = ready()
    job.db.execute("ALTER TABLE t ALTER v TYPE numeric USING v + 0.5")
    job.verify(repair=True)
    job.db.execute("ALTER TABLE t ALTER v TYPE integer")
    with pytest.raises(SchemaChanged):
        job.cutover()
    job.db.execute("ALTER TABLE t ALTER v TYPE numeric")
    there = job.value("SELECT sum(v) FROM t")
    with refused(job, Refused, "not the same"):
        job.cutover()
    mended(job)
    job.cutover()
    assert job.value("SELECT sum(v) FROM t") == there


def test_a_table_that_was_unlogged_for_a_while_is_proved_anew(ready: Ready) -> None:
    """A crash meanwhile would have emptied it."""
    job = ready()
    before = verifications(job)
    job.db.execute("ALTER TABLE t SET UNLOGGED")
    job.db.execute("ALTER TABLE t SET LOGGED")
    assert job.cutover().phase is Phase.CUT_OVER
    assert verifications(job) == before + 1


def test_a_proof_counts_while_nothing_happens(ready: Ready) -> None:
    """ANALYZE and VACUUM are nothing."""
    job = ready()
    before = verifications(job)
    job.db.execute("VACUUM (ANALYZE) t")
    job.db.execute("VACUUM (ANALYZE) hyperferry_new_1.t")
    job.cutover()
    assert verifications(job) == before


# Ways in that came and went.


@pytest.mark.parametrize("noticed_by", ["cutover", "dry run", "appointment", "sync", "verify"])
def test_what_a_subscription_may_have_written_is_looked_for_when_it_has_ended(unsubscribed: Ready, noticed_by: str) -> None:
    job = unsubscribed()
    subscribe(job.db)
    if noticed_by == "cutover":
        with refused(job, Refused, "The subscription s writes"):
            job.cutover()
    elif noticed_by == "dry run":
        assert "The subscription s writes" in " ".join(engine.cutover_dry_run(job.db.dsn, "t").refusals)
    elif noticed_by == "appointment":
        with pytest.raises(Refused, match="The subscription s writes"):
            job.cutover(appointment=Appointment(datetime.now(UTC) + timedelta(hours=1)))
    elif noticed_by == "sync":
        job.sync()
        assert "a subscription writes into public.t" in " ".join(job.said)
    else:
        assert job.verify(say=job.said.append).match
        assert "no proof for a swap" in " ".join(job.said)
    job.db.execute("DROP SUBSCRIPTION s")
    before = verifications(job)
    assert job.cutover().phase is Phase.CUT_OVER
    assert verifications(job) == before + 1


def test_rows_of_a_child_that_has_left_are_not_swapped_over(ready: Ready) -> None:
    """An UPDATE of the table changes the child's rows too, and the hypertable gets them."""
    job = ready()
    job.db.execute("CREATE TABLE t_child () INHERITS (t); INSERT INTO t_child (at, n) VALUES ('2024-01-15', 1)")
    job.db.execute("UPDATE t SET n = n + 1 WHERE at BETWEEN '2024-01-14' AND '2024-01-16'")
    job.sync()
    with refused(job, Refused, "inheritance parent"):
        job.cutover()
    job.db.execute("ALTER TABLE t_child NO INHERIT t")
    with refused(job, Refused, "not the same"):
        job.cutover()
    mended(job)
    job.cutover()
    assert job.value("SELECT count(*) FROM t") == 400


# Chunks that are gone.


def test_what_came_into_a_dropped_range_survives_the_statement_that_the_refusal_shows(ready: Ready) -> None:
    job = ready()
    job.cutover()
    job.run(f"SELECT drop_chunks('t', {JANUARY})")
    new = job.value("INSERT INTO t (at, note) VALUES ('2024-01-10', 'late') RETURNING id")
    job.sync()
    with pytest.raises(Refused) as caught:
        job.rollback()
    job.db.execute(str(caught.value).split("old table first: ")[1])
    assert job.value("SELECT count(*) FROM hyperferry_old_1.t WHERE id = %s", new) == 1
    job.rollback()
    assert job.value("SELECT array_agg(id) FROM t WHERE at < '2024-01-20'") == [new]


def test_what_came_into_a_dropped_range_is_verified(ready: Ready) -> None:
    """Only what old alone has there is counted apart."""
    job = ready()
    job.cutover()
    job.run(f"SELECT drop_chunks('t', {JANUARY})")
    job.run("INSERT INTO t (at, note) VALUES ('2024-01-10', 'carried')")
    job.sync()
    assert job.verify().match
    with job.db.connect() as conn:
        conn.execute("SET session_replication_role = replica")
        conn.execute("INSERT INTO t (at, note) VALUES ('2024-01-11', 'unseen')")
    report = job.verify()
    assert [each.kind for each in report.differences] == ["missing"]
    assert report.dropped_target_rows > 100
    mended(job)
    assert job.value("SELECT count(*) FROM hyperferry_old_1.t WHERE note = 'unseen'") == 1
    job.rollback(accept=frozenset({dropped.RULE}))
    assert job.value("SELECT count(*) FROM t WHERE note IN ('carried', 'unseen')") == 2
    assert job.value("SELECT count(*) FROM t WHERE at < '2024-01-20'") > 100


@pytest.mark.parametrize("when", ["before", "at the last moment"])
def test_a_chunk_that_is_dropped_from_the_parked_hypertable_voids_the_proof(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """As a retention policy does that was made while it served."""
    job = ready()
    job.cutover()
    job.rollback()
    assert job.verify().match
    drop = f"SELECT drop_chunks('hyperferry_new_1.t', {JANUARY})"
    if when == "before":
        job.run(drop)
    else:
        before_swap_message(monkeypatch, lambda conn: job.db.execute(drop))
    with pytest.raises(Refused, match="not the same"):
        job.cutover()
    mended(job)
    job.cutover()
    assert job.value("SELECT count(*) FROM t") == 400


def test_a_chunk_that_came_and_went_after_the_proof_voids_it(ready: Ready) -> None:
    job = ready()
    job.run("INSERT INTO t (at, note) VALUES ('2025-06-01', 'far')")
    job.sync()
    job.run("SELECT drop_chunks('hyperferry_new_1.t', newer_than => timestamptz '2025-01-01')")
    with refused(job, Refused, "not the same"):
        job.cutover()
    mended(job)
    job.cutover()
    assert job.value("SELECT count(*) FROM t WHERE note = 'far'") == 1


# TRUNCATE.


@pytest.mark.parametrize("served_by", ["plain table", "hypertable"])
def test_rows_that_a_trigger_puts_in_after_a_truncation_arrive(ready: Ready, served_by: str) -> None:
    """Triggers fire in the order of their names; this one's rows are there when ours would note the truncation after it. (A
    hypertable's chunks are dropped after them: there TimescaleDB takes such rows away itself.)"""
    job = ready(
        SMALL + "CREATE FUNCTION seed() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
        "INSERT INTO public.t (at, note) VALUES ('2024-01-05', 'seed'); RETURN NULL; END$$;"
        "CREATE TRIGGER aa AFTER TRUNCATE ON t EXECUTE FUNCTION seed();"
    )
    other = "hyperferry_new_1.t"
    if served_by == "hypertable":
        job.cutover()
        other = "hyperferry_old_1.t"
    job.db.execute("INSERT INTO t (at, note) VALUES ('2024-01-06', 'before')")
    job.db.execute("TRUNCATE t")
    job.sync()
    assert job.run(f"SELECT note FROM {other}") == job.run("SELECT note FROM t") == [("seed",)] * (served_by == "plain table")
    assert job.verify().match


# What was put on the table while the last swap's end was still to come.


NULLABLE = SMALL.replace("at timestamptz NOT NULL", "at timestamptz")


# As CREATE INDEX CONCURRENTLY leaves it behind.
UNFINISHED = SMALL + (
    "CREATE INDEX t_half ON t (note); CREATE UNIQUE INDEX t_half_key ON t (id, note); "
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid IN ('t_half'::regclass, 't_half_key'::regclass);"
)


@pytest.mark.parametrize(
    "text", [SMALL, VIEWED, CHILD, NULLABLE, UNFINISHED], ids=["small", "viewed", "child", "nullable time", "unfinished index"]
)
def test_an_interrupted_swap_is_gone_on_with(ready: Ready, text: str) -> None:
    """Nothing was added: nothing is told."""
    job = ready(text)
    for way in (job.cutover, job.rollback, job.cutover, job.rollback):
        way()
        job.run("DELETE FROM hyperferry.event WHERE kind = 'fingerprint'")
    job.assert_equal()


@pytest.mark.parametrize(
    ("made", "undone"),
    [
        ("CREATE VIEW w AS SELECT count(*) AS n FROM t", "DROP VIEW w"),
        ("CREATE INDEX t_note ON t (note)", "DROP INDEX t_note"),
        ("GRANT SELECT ON t TO pg_monitor", "REVOKE SELECT ON t FROM pg_monitor"),
        ("DROP INDEX t_at", "CREATE INDEX t_at ON t (at)"),
    ],
    ids=["view", "index", "grant", "index gone"],
)
def test_what_was_added_before_an_interrupted_swap_was_noted_is_told(ready: Ready, made: str, undone: str) -> None:
    job = ready()
    job.cutover()
    job.run("DELETE FROM hyperferry.event WHERE kind = 'fingerprint'")
    job.db.execute(made)
    for _ in range(2):
        with pytest.raises(SchemaChanged, match=r"is (new|gone)"):
            job.rollback()
    assert job.phase() == "cut_over"
    job.db.execute(undone)
    job.rollback()
    assert job.phase() == "rolled_back"


def test_an_unfinished_index_is_in_nobodys_way(ready: Ready) -> None:
    """It is not carried over: the hypertable lacks it, and that is no change by others."""
    job = ready(UNFINISHED)
    for way in (job.cutover, job.rollback, job.cutover, job.rollback):
        way()
    assert not [line for line in job.said if "by others" in line]
    job.assert_equal()


def test_what_is_added_while_keys_are_validated_is_told(ready: Ready) -> None:
    job = ready(CHILD)
    job.cutover()
    events = job.run("SELECT detail ->> 'settled' FROM hyperferry.event WHERE kind = 'fingerprint' ORDER BY id")
    assert events == [("false",), ("true",)]
    # As if it had been killed before the keys were validated.
    job.run("DELETE FROM hyperferry.event WHERE kind = 'fingerprint' AND detail ->> 'settled' = 'true'")
    job.db.execute("CREATE VIEW w AS SELECT count(*) AS n FROM t")
    with pytest.raises(SchemaChanged, match=r"dependent public\.w is new"):
        job.rollback()
    job.db.execute("DROP VIEW w")
    job.rollback()
    assert job.phase() == "rolled_back"


def test_what_waited_behind_the_swaps_locks_is_told(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done before anything can look at how the swap left the table."""
    job = ready()
    inspect = swapping._inspect

    def late(conn: Connection, rollout: Rollout) -> Inspection:
        monkeypatch.setattr(swapping, "_inspect", inspect)
        job.db.execute("CREATE VIEW w AS SELECT count(*) AS n FROM t")
        return inspect(conn, rollout)

    monkeypatch.setattr(swapping, "_inspect", late)
    assert job.cutover().phase is Phase.CUT_OVER
    assert "dependent public.w is new" in " ".join(job.said)
    with pytest.raises(SchemaChanged, match=r"dependent public\.w is new"):
        job.rollback()
    job.db.execute("DROP VIEW w")
    job.rollback()
    assert job.phase() == "rolled_back"


def test_a_key_that_was_validated_by_hand_is_no_change(ready: Ready) -> None:
    """As is asked for where rows violated it at the cutover."""
    job = ready(CHILD)
    job.cutover()
    job.db.execute("ALTER TABLE t DROP CONSTRAINT t_n_fkey")
    job.db.execute("ALTER TABLE t ADD CONSTRAINT t_n_fkey FOREIGN KEY (n) REFERENCES parent ON DELETE CASCADE NOT VALID")
    rollout = store.latest(job.conn, None)[0]
    swapping._note(job.conn, rollout, swapping._inspect(job.conn, rollout), settled=True)
    job.db.execute("ALTER TABLE t VALIDATE CONSTRAINT t_n_fkey")
    job.rollback()
    assert job.phase() == "rolled_back"


def test_what_is_known_of_dropped_chunks_survives_a_verification_of_the_other_direction(ready: Ready) -> None:
    """One that was begun before somebody cut over, and looks at the chunks after it."""
    job = ready()
    with job.db.connect() as conn:
        before = flow_of(store.latest(conn, None)[0])
        job.cutover()
        job.run(f"SELECT drop_chunks('t', {JANUARY})")
        job.sync()
        known = job.run("SELECT chunk, dropped_at FROM hyperferry.chunk_1 ORDER BY 1")
        dropped.watch(conn, before)
        assert job.run("SELECT chunk, dropped_at FROM hyperferry.chunk_1 ORDER BY 1") == known
