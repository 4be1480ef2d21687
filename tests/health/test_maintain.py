"""Maintenance beside writers and readers: interrupted, in the way, in a window, and of chunks that go meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from hyperferry.errors import Refused, Usage
from hyperferry.maintenance import DropOptions, drop_chunks, parse_window
from servers import Database

from .conftest import chunks, examine, fill, keep_well, of, rules, settle


class Writer(threading.Thread):
    """Inserts, updates and deletes all over the table, one statement after the other, each waiting for a lock for 2 s at most."""

    def __init__(self, db: Database) -> None:
        super().__init__(daemon=True)
        self.db, self.ending, self.done, self.longest = db, threading.Event(), 0, 0.0
        self.errors: list[str] = []

    def run(self) -> None:
        with self.db.connect() as conn:
            conn.execute("SET lock_timeout = '2s'")
            number = 0
            while not self.ending.is_set():
                number += 1
                begun = time.monotonic()
                try:
                    conn.execute(
                        "INSERT INTO sensors (at, sensor, place, value) VALUES (now() - %s * interval '1 minute', 1, 'writer', 0)", [number * 37 % 4000]
                    )
                    conn.execute("UPDATE sensors SET value = value + 1 WHERE id = %s", [number])
                    conn.execute("DELETE FROM sensors WHERE id = %s", [number * 2])
                except psycopg.Error as error:
                    self.errors.append(str(error))
                self.longest = max(self.longest, time.monotonic() - begun)
                self.done += 1
                time.sleep(0.005)


@contextmanager
def writing(db: Database) -> Iterator[Writer]:
    """A writer for the length of the block, which must have written in it and not have met an error."""
    writer = Writer(db)
    writer.start()
    wait_for(lambda: writer.done or not writer.is_alive())
    before = writer.done
    try:
        yield writer
    finally:
        writer.ending.set()
        writer.join()
    assert writer.errors == []
    assert writer.done > before


@contextmanager
def busy(db: Database, statement: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A session that holds a transaction open after a statement."""
    with db.connect(autocommit=False) as conn:
        conn.execute(statement)
        yield conn
        conn.rollback()


def waits(db: Database, statement: str) -> bool:
    """Whether a session of this database waits for a lock in a statement that begins so."""
    return bool(
        db.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE %s",
            statement + "%",
        )
    )


def wait_for(what: Callable[[], object], seconds: float = 60.0) -> None:
    """Waits until it is so."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def invalid(db: Database) -> int:
    """Invalid indexes in the database."""
    return int(db.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid")[0][0])


def content(db: Database) -> list[tuple[object, ...]]:
    """What the table holds."""
    return db.execute("SELECT count(*), sum(hashtextextended(s::text, 0)) FROM sensors AS s")


@pytest.fixture
def filled(sensors: Database) -> Database:
    """Nine thousand rows in three or four chunks."""
    fill(sensors, 9_000)
    return sensors


def test_all_of_it_beside_a_writer(filled: Database) -> None:
    with writing(filled) as writer:
        report = keep_well(filled, everything=True)
    assert {outcome.state for outcome in report.outcomes} == {"done"}
    assert len(report.outcomes) == len(chunks(filled)) * 5
    assert writer.longest < 10
    assert invalid(filled) == 0
    assert "missing-indexes" not in rules(filled)


def test_a_dry_run_does_nothing_and_says_why(filled: Database) -> None:
    filled.execute("DELETE FROM sensors WHERE sensor < 20")
    settle(filled)
    before = filled.execute("SELECT max(last_vacuum) FROM pg_stat_user_tables")
    report = keep_well(filled, "sensors", "vacuum", dry_run=True)
    assert report.tasks
    assert all("dead rows" in task.why for task in report.tasks)
    assert report.outcomes == ()
    assert filled.execute("SELECT max(last_vacuum) FROM pg_stat_user_tables") == before


def test_only_the_chunks_of_the_range(filled: Database) -> None:
    first = chunks(filled)[0]
    report = keep_well(filled, "sensors", "vacuum", everything=True, older_than="36 hours", dry_run=True)
    assert {task.table.quoted.replace('"', "") for task in report.tasks} >= {first}
    assert 0 < len(report.tasks) < len(chunks(filled))
    moment = filled.execute("SELECT (now() - interval '36 hours')::text")[0][0]
    again = keep_well(filled, "sensors", "vacuum", everything=True, newer_than=moment, dry_run=True)
    assert not {task.oid for task in again.tasks} & {task.oid for task in report.tasks}
    with pytest.raises(Usage, match="is not understood"):
        keep_well(filled, older_than="the other day")


@pytest.mark.slow
def test_a_rebuild_that_is_interrupted_leaves_nothing_and_goes_on(filled: Database) -> None:
    stop = threading.Event()
    before = content(filled)
    with busy(filled, "SELECT count(*) FROM sensors") as reader:  # REINDEX CONCURRENTLY waits for this one

        def interrupt() -> None:
            try:
                wait_for(lambda: waits(filled, "REINDEX INDEX CONCURRENTLY"))
                stop.set()
                wait_for(lambda: waits(filled, "DROP INDEX CONCURRENTLY"))  # and so does taking away what it left
            finally:
                stop.set()
                reader.rollback()

        thread = threading.Thread(target=interrupt)
        thread.start()
        report = keep_well(filled, "sensors", "reindex", everything=True, stop=stop)
        thread.join()
    assert report.ended == "interrupted"
    assert report.left > 0
    assert invalid(filled) == 0
    again = keep_well(filled, "sensors", "reindex", everything=True)
    assert {outcome.state for outcome in again.outcomes} == {"done"}
    assert invalid(filled) == 0
    assert content(filled) == before
    assert "missing-indexes" not in rules(filled)


def test_what_somebody_elses_interrupted_rebuild_left_is_taken_away(filled: Database) -> None:
    chunk = chunks(filled)[0]
    with busy(filled, "SELECT count(*) FROM sensors"), filled.connect() as conn, suppress(psycopg.errors.QueryCanceled):
        conn.execute("SET statement_timeout = '3s'")
        conn.execute(f"REINDEX TABLE CONCURRENTLY {chunk}")
    assert invalid(filled) > 0
    [found] = of(examine(filled), "invalid-indexes")
    assert "_cc" in found.message
    report = keep_well(filled, "sensors", "reindex")
    assert all(task.remove for task in report.tasks)
    assert invalid(filled) == 0
    assert "invalid-indexes" not in rules(filled)


def broken(db: Database, chunk: str) -> None:
    """What a CREATE UNIQUE INDEX CONCURRENTLY over rows that stand twice leaves on a chunk."""
    with db.connect() as conn, suppress(psycopg.errors.UniqueViolation):
        conn.execute(f"CREATE UNIQUE INDEX CONCURRENTLY twice_idx ON {chunk} (place)")
    assert invalid(db) == 1


def test_what_the_server_refuses_is_told_and_the_others_are_done(filled: Database) -> None:
    broken(filled, chunks(filled)[0])
    report = keep_well(filled, everything=True)
    assert report.ended is None
    [failed] = [outcome for outcome in report.outcomes if outcome.state != "done"]
    assert (failed.state, failed.task.words) == ("failed", "reindex twice_idx")
    assert "could not create unique index" in failed.reason
    assert "Key (place)=" in failed.reason
    assert len(report.outcomes) == len(report.tasks) == len(chunks(filled)) * 5 + 1
    assert (report.left, report.failed, invalid(filled)) == (1, 1, 1)


def test_who_may_only_maintain_is_told_who_can_drop_what_is_left(filled: Database) -> None:
    if int(filled.execute("SHOW server_version_num")[0][0]) < 170000:
        pytest.skip("MAINTAIN is a privilege from PostgreSQL 17 on")
    role, owner = filled.make_role("keeper"), filled.make_role("owner")
    filled.execute(f'ALTER TABLE sensors OWNER TO "{owner}"; GRANT SELECT, MAINTAIN ON sensors TO "{role}"')
    with busy(filled, "SELECT count(*) FROM sensors"):  # REINDEX CONCURRENTLY waits for this one
        report = keep_well(filled, "sensors", "reindex", everything=True, older_than="36 hours", role=role, longest_wait=0.5)
    assert report.outcomes
    for outcome in report.outcomes:
        assert outcome.state == "skipped"
        assert "to end its transaction" in outcome.reason
        assert "_cc" in outcome.reason
        assert f"only {owner} or a superuser can drop it" in outcome.reason
    left = invalid(filled)
    assert left == len(report.outcomes)
    again = keep_well(filled, "sensors", "reindex", everything=True, role=role)
    removed = [outcome for outcome in again.outcomes if outcome.task.remove]
    assert len(removed) == left
    assert {outcome.state for outcome in removed} == {"failed"}
    assert all(f"only {owner} or a superuser can drop it" in outcome.reason for outcome in removed)
    assert {outcome.state for outcome in again.outcomes if not outcome.task.remove} == {"done"}
    assert not keep_well(filled, "sensors", "reindex", role=owner).left
    assert invalid(filled) == 0


@pytest.mark.slow
def test_who_begins_to_wait_for_us_gets_the_table(filled: Database) -> None:
    """An ALTER TABLE that comes while a rebuild waits for a reader has the rebuild cancelled, not the other way round."""
    altered = threading.Event()
    with busy(filled, "SELECT count(*) FROM sensors") as reader:

        def alter() -> None:
            try:
                wait_for(lambda: waits(filled, "REINDEX INDEX CONCURRENTLY"))
                with filled.connect() as conn:
                    conn.execute("SET lock_timeout = '40s'")  # the rebuild would wait for a minute
                    conn.execute(f"ALTER TABLE {chunks(filled)[0]} SET (fillfactor = 90)")
                altered.set()
            finally:
                reader.rollback()  # what is left to do waits for nobody

        thread = threading.Thread(target=alter)
        thread.start()
        report = keep_well(filled, "sensors", "reindex", everything=True, older_than="36 hours", longest_wait=60.0)
        thread.join()
    assert altered.is_set()
    assert "skipped" in {outcome.state for outcome in report.outcomes}
    assert any("has waited" in outcome.reason for outcome in report.outcomes)


def test_a_chunk_that_somebody_vacuums_is_passed_over(filled: Database) -> None:
    first = chunks(filled)[0]
    with busy(filled, f"LOCK TABLE {first} IN SHARE UPDATE EXCLUSIVE MODE"), writing(filled):
        report = keep_well(filled, "sensors", "vacuum", everything=True)
    states = {outcome.task.table.quoted.replace('"', ""): outcome.state for outcome in report.outcomes}
    assert states.pop(first) == "skipped"
    assert set(states.values()) == {"done"}


def test_a_chunk_that_is_dropped_meanwhile_is_no_trouble(filled: Database) -> None:
    last = chunks(filled)[-1]

    def drop(text: str) -> None:
        if text.startswith("1/"):
            filled.execute(f"DROP TABLE {last}")

    report = keep_well(filled, "sensors", "vacuum", "analyze", everything=True, say=drop)
    assert {outcome.state for outcome in report.outcomes if outcome.task.table.quoted.replace('"', "") == last} <= {"gone", "done"}
    assert "gone" in {outcome.state for outcome in report.outcomes}


def test_nothing_is_done_outside_the_window_and_it_ends_with_it(filled: Database) -> None:
    now = datetime.now(UTC)
    closed = parse_window(f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M} UTC")
    stop = threading.Event()
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        threading.Timer(1.5, stop.set).start()

    report = keep_well(filled, everything=True, window=closed, stop=stop, say=say)
    assert (report.ended, report.outcomes) == ("interrupted", ())
    assert "waiting for the window" in said[0]
    wide = parse_window(f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=1):%H:%M} UTC")
    report = keep_well(filled, "sensors", "vacuum", everything=True, window=wide)
    assert (report.ended, report.left) == (None, 0)


def test_old_chunks_are_listed_exactly_and_dropped_when_confirmed(filled: Database) -> None:
    before = chunks(filled)
    kept = filled.execute("SELECT count(*) FROM sensors WHERE at >= (SELECT range_end FROM timescaledb_information.chunks ORDER BY range_end LIMIT 1)")

    def drop(**more: object) -> list[str]:
        options = DropOptions(filled.dsn, "sensors", "48 hours", **more)  # type: ignore[arg-type]
        found = drop_chunks(options, lambda text: None, threading.Event())
        return [each.relation.name.quoted.replace('"', "") for each in found.listed]

    assert drop() == before[:1]
    assert chunks(filled) == before
    filled.execute("CREATE TABLE other (id int)")
    with pytest.raises(Refused, match="is another table"):
        drop(confirm="other")
    drop(confirm="sensors")
    assert chunks(filled) == before[1:]
    assert filled.execute("SELECT count(*) FROM sensors") == kept
    assert drop() == []


@pytest.mark.parametrize("kind", ["smallint", "int", "bigint", "date", "timestamp"])
def test_old_chunks_of_any_time_are_dropped(db: Database, kind: str) -> None:
    integer = "int" in kind
    time, width = ("i * 100", "1000") if integer else ("timestamp '2024-01-01' + i * interval '1 day'", "interval '10 days'")
    db.execute(f"CREATE TABLE t (at {kind} NOT NULL)")
    db.execute(f"SELECT create_hypertable('t', 'at', chunk_time_interval => {width})")
    db.execute(f"INSERT INTO t SELECT {time} FROM generate_series(0, 29) AS i")
    before = chunks(db, "t")
    options = DropOptions(db.dsn, "t", "1000" if integer else "2024-01-15", confirm="t")
    found = drop_chunks(options, lambda text: None, threading.Event())
    assert len(found.dropped) == len(found.listed) >= 1
    assert chunks(db, "t") == before[len(found.listed) :]


def test_a_chunk_that_comes_after_the_list_was_made_is_not_dropped(filled: Database) -> None:
    """A late row makes a chunk older than all that are listed: nobody saw it on the list."""
    before = chunks(filled)

    said: list[str] = []

    def late(text: str) -> None:
        said.append(text)
        if len(said) == 1:
            filled.execute("INSERT INTO sensors (at, sensor, place, value) VALUES (now() - interval '10 days', 1, 'late', 0)")

    found = drop_chunks(DropOptions(filled.dsn, "sensors", "24 hours", "sensors"), late, threading.Event())
    assert len(found.dropped) == len(found.listed) == len(said) == 2
    assert filled.execute("SELECT count(*) FROM sensors WHERE place = 'late'") == [(1,)]
    assert set(before[2:]) < set(chunks(filled))


@pytest.mark.parametrize("kind", ["timestamp", "date", "timestamptz"])
@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Tokyo"])
def test_an_age_is_what_it_is_in_the_time_zone_of_the_owners_sessions(db: Database, kind: str, zone: str) -> None:
    """Local times in a column without a zone: ours, in UTC, would be hours off."""
    width, age = ("1 day", "10 days") if kind == "date" else ("1 hour", "30 hours")
    [(name,)] = db.execute("SELECT quote_ident(current_database())")
    db.execute(f"ALTER DATABASE {name} SET timezone = 'Europe/Berlin'")
    role = db.make_role("owner")
    db.execute(f"CREATE TABLE t (at {kind} NOT NULL)")
    db.execute(f"SELECT create_hypertable('t', 'at', chunk_time_interval => interval '{width}')")
    db.execute(f'ALTER TABLE t OWNER TO "{role}"')
    db.execute(f"ALTER ROLE \"{role}\" IN DATABASE {name} SET timezone = '{zone}'")
    db.execute(f"INSERT INTO t SELECT (now() AT TIME ZONE '{zone}') - i * interval '{width}' FROM generate_series(-1, 50) AS i")

    def theirs() -> set[str]:
        with db.connect() as conn:
            conn.execute(f"SET timezone = '{zone}'")
            return {row[0] for row in conn.execute(f"SELECT c::text FROM show_chunks('t', older_than => interval '{age}') AS c").fetchall()}

    before = theirs()
    found = drop_chunks(DropOptions(db.dsn, "t", age), lambda text: None, threading.Event())
    listed = {str(each.relation.name) for each in found.listed}
    assert before <= listed <= theirs()  # an hour may have turned meanwhile
    assert before


def test_what_is_no_past_moment_to_everybody_drops_nothing(filled: Database) -> None:
    """PostgreSQL reads '2 days ago' as -2 days, before which every chunk ends, and 20240101 as so many seconds."""
    before = chunks(filled)

    def listed(text: str) -> int:
        options = DropOptions(filled.dsn, "sensors", text, "sensors")
        return len(drop_chunks(options, lambda text: None, threading.Event()).listed)

    for text in ("2 days ago", "-2 days", "1 day -40 days", "20", "2024", "2024-01", "10:00", "-1", "infinity", "-infinity"):
        with pytest.raises(Usage, match="is not understood"):
            listed(text)
    understood = ("20010101", "20010101 000000", "2001-01-01T00:00:00Z", "2001-01-01 UTC", "P20Y", "20 years", "20 years 3 days")
    assert {text: listed(text) for text in understood} == dict.fromkeys(understood, 0)
    assert chunks(filled) == before
