"""I7 at length: days of writes through the hypertable, and all that happens to its chunks meanwhile, are in the old table."""

from __future__ import annotations

import random
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from job import Job, aside, eventually
from swap_support import WEEKS

from hyperferry import engine
from hyperferry.errors import Refused
from hyperferry.ledger import transaction
from hyperferry.strategies import ending
from kit.tables import described
from servers import Database

SHOP = """
CREATE TABLE parent (n integer PRIMARY KEY, name text);
INSERT INTO parent SELECT i, 'p' || i FROM generate_series(0, 19) AS i;
CREATE TABLE audit (id bigint, what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO audit VALUES (NEW.id, TG_OP); RETURN NULL; END';
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note = upper(NEW.note); RETURN NEW; END';
CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL, n integer REFERENCES parent ON DELETE CASCADE, v numeric, note text,
    double_v numeric GENERATED ALWAYS AS (v * 2) STORED);
INSERT INTO t (at, n, v, note) SELECT timestamptz '2024-01-01' + i * interval '20 minutes', i % 20, i % 100, 'ROW ' || i
    FROM generate_series(1, 8000) AS i;
CREATE INDEX t_at ON t (at);
CREATE TRIGGER note AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER shout BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION shout();
"""
"""111 days in 16 chunks of a week."""

OPENED_FIRST = "of a compressed chunk"
"""What TimescaleDB from 2.28.3 on says to an UPDATE of a key's column in a compressed chunk."""

OVER = ("23", "40", "55", "0A", "XX", "57")


def shop(db: Database, text: str = SHOP) -> Job:
    """The table, cut over."""
    db.execute(text)
    with db.connect() as conn:
        table = described(conn, "public", "t", "at", "id")
    job = Job(db, table, WEEKS)
    job.start()
    job.cutover()
    return job


@pytest.fixture
def community(community_db: Database) -> Iterator[Job]:
    """On the Community edition, compression set up after the cutover, as it would be."""
    job = shop(community_db)
    job.run("ALTER TABLE t SET (timescaledb.compress, timescaledb.compress_segmentby = 'n', timescaledb.compress_orderby = 'at')")
    yield job
    job.close()


def a_day(day: int, dice: random.Random) -> list[str]:
    """What an application writes on one day: scattered, in bulk, late, early, moved, merged."""
    late = dice.randrange(0, 110)
    return [
        f"INSERT INTO t (at, n, v, note) SELECT timestamptz '2024-04-22' + {day} * interval '1 day' + i * interval '5 minutes', i %% 20, i, 'day {day}' FROM generate_series(1, 288) AS i",
        f"INSERT INTO t (at, n, v, note) SELECT timestamptz '2024-01-01' + {late} * interval '1 day' + i * interval '1 minute', i %% 20, -i, 'late' FROM generate_series(1, 100) AS i",
        f"UPDATE t SET v = v + 1, note = 'touched {day}' WHERE id %% 97 = {day % 97}",
        f"UPDATE t SET at = at + interval '1 second' WHERE id %% 211 = {day % 211} AND extract(isodow FROM at AT TIME ZONE 'UTC') IN (1, 2, 5)",
        f"WITH gone AS (DELETE FROM t WHERE id %% 301 = {day % 301} RETURNING id, n, v) INSERT INTO t (id, at, n, v, note) SELECT id, timestamptz '2024-02-01' + id %% 5000 * interval '7 minutes', n, v, 'moved' FROM gone",
        f"DELETE FROM t WHERE id %% 509 = {day % 509}",
        f"DELETE FROM t WHERE n = {day % 20} AND at < timestamptz '2024-01-03' + {day} * interval '1 day'",
        f"INSERT INTO t (id, at, n, v, note) SELECT id, at, n, v + 1000, 'again' FROM t AS o WHERE id %% 401 = {day % 401} ON CONFLICT (id, at) DO UPDATE SET v = excluded.v",
        f"UPDATE t SET v = NULL, n = (n + 1) %% 20 WHERE id IN (SELECT id FROM t ORDER BY at DESC, id OFFSET {day} LIMIT 40)",
    ]  # fmt: skip


def write(db: Database, statement: str, attempts: int = 60) -> bool:
    """As an application does: tried again where it was the victim of somebody's lock. False where the server cannot do it at all."""
    for _ in range(attempts):
        try:
            db.execute(statement.replace("%%", "%"))
            return True
        except psycopg.Error as error:
            if OPENED_FIRST in str(error):
                return False
            if (error.sqlstate or "")[:2] not in ("40", "55"):
                raise
            time.sleep(0.05)
    raise AssertionError(f"never done: {statement}")


def changes(job: Job) -> int:
    """How many changes were captured since the cutover, by the numbers that the log gave out."""
    return int(job.value("SELECT last_value FROM hyperferry.reverse_log_1_id_seq"))


def test_days_of_writes_flow_to_the_old_table(db: Database) -> None:
    """No sync runs on most days: the backlog grows, and is shown; then it is drained, and the way back is open."""
    job = shop(db)
    dice = random.Random(7)
    seen = 0
    for day in range(40):
        for statement in a_day(day, dice):
            write(db, statement)
        if day == 20:
            write(db, "DELETE FROM parent WHERE n = 13; INSERT INTO parent VALUES (13, 'anew')")
            job.sync()
            job.assert_equal()
        if day % 10 == 9:
            backlog = job.status().backlog
            assert backlog == job.backlog() > seen * (day != 29)
            seen = backlog
    assert changes(job) > 20_000
    assert job.status().backlog > 5_000, "nobody has carried it back"
    expected = job.value("SELECT count(*) FROM t")
    audited = job.value("SELECT count(*) FROM audit")
    job.rollback()  # drains first
    assert job.value("SELECT count(*) FROM t") == expected
    assert job.value("SELECT count(*) FROM audit") == audited, "triggers of the user's fire once"
    job.assert_equal()
    for statement in a_day(50, dice):
        write(db, statement.replace("ON CONFLICT (id, at)", "ON CONFLICT (id)"))
    job.cutover()
    job.sync()
    job.assert_equal()
    job.close()


CHUNKS = "SELECT c::text FROM show_chunks('t') AS c ORDER BY random()"


def keep_chunks_moving(db: Database, dice: random.Random, done: dict[str, int]) -> None:
    """One act of a policy or a person on the chunks; what cannot be done with this chunk now is left."""
    some = [row[0] for row in db.execute("SELECT c::text FROM show_chunks('t') AS c ORDER BY 1")]
    one = dice.choice(some)
    place = dice.randrange(len(some) - 1)
    acts = {
        "compress": f"SELECT compress_chunk('{one}', if_not_compressed => true)",
        "compress again": f"SELECT compress_chunk('{one}', if_not_compressed => true, recompress => true)",
        "decompress": f"SELECT decompress_chunk('{one}', if_compressed => true)",
        "merge": f"CALL merge_chunks('{some[place]}', '{some[place + 1]}')",
        "analyze": f"ANALYZE {one}",
        "vacuum": f"VACUUM {one}",
    }
    act = dice.choice(sorted(acts))
    try:
        db.execute(acts[act])
        done[act] = done.get(act, 0) + 1
    except psycopg.Error as error:
        if (error.sqlstate or "")[:2] not in OVER and "chunk" not in str(error):
            raise


def takes_keys_beside_compression(db: Database) -> bool:
    """Whether this TimescaleDB puts a foreign key (NOT VALID) on a hypertable with compressed chunks."""
    with db.connect() as conn, conn.transaction(force_rollback=True):
        conn.execute("CREATE TABLE one (n integer PRIMARY KEY); CREATE TABLE many (at timestamptz NOT NULL, n integer)")
        conn.execute("SELECT create_hypertable('many', 'at'); INSERT INTO many VALUES ('2024-01-01', 1)")
        conn.execute("ALTER TABLE many SET (timescaledb.compress); SELECT compress_chunk(c) FROM show_chunks('many') AS c")
        try:
            conn.execute("ALTER TABLE many ADD FOREIGN KEY (n) REFERENCES one NOT VALID")
        except psycopg.errors.FeatureNotSupported:
            return False
        return True


@pytest.mark.parametrize("seed", [1, 2])
def test_days_of_writes_while_chunks_are_compressed_opened_and_merged(community: Job, seed: int) -> None:
    job, db = community, community.db
    dice, done = random.Random(seed), {"days": 0}
    ended = threading.Event()

    def policies() -> None:
        while not ended.is_set():
            keep_chunks_moving(db, dice, done)
            time.sleep(0.02)

    db.execute("SELECT compress_chunk(c) FROM show_chunks('t') AS c")
    policy = aside(policies)
    stop = threading.Event()
    syncing = aside(lambda: engine.sync(job.dsn, "t", stop=stop, say=job.said.append))
    try:
        for day in range(12):
            for statement in a_day(day, random.Random(seed * 1000 + day)):
                write(db, statement)
            done["days"] += 1
    finally:
        ended.set()
        policy.result(60)
        stop.set()
        syncing.result(60)
    assert {"compress", "decompress"} <= set(done), done
    assert job.value("SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed") > 0
    assert changes(job) > 5_000
    job.sync()
    job.assert_equal()
    expected = job.value("SELECT count(*) FROM t")
    job.rollback()
    assert job.value("SELECT count(*) FROM t") == expected
    job.assert_equal()
    # Forward again, into chunks that are compressed; older TimescaleDBs want them opened for the foreign key to return.
    for statement in a_day(60, dice):
        write(db, statement.replace("ON CONFLICT (id, at)", "ON CONFLICT (id)"))
    if takes_keys_beside_compression(db):
        job.cutover()
    else:
        with pytest.raises(Refused, match="compressed chunks") as caught:
            job.cutover()
        assert job.phase() == "rolled_back"
        job.assert_equal()
        db.execute(re.findall(r"SELECT decompress_chunk[^;]*;", caught.value.remedy)[0])
        job.cutover()
    valid = job.value("SELECT convalidated FROM pg_constraint WHERE conrelid = 't'::regclass AND contype = 'f'")
    assert valid is not any("t_n_fkey" in text and "stays NOT VALID" in text for text in job.said), "and it is said where it cannot be"
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        db.execute("INSERT INTO t (at, n) VALUES ('2024-03-03', 999)")
    job.sync()
    job.assert_equal()


COMPRESSED = {
    "insert": "INSERT INTO t (at, n, v, note) SELECT timestamptz '2024-01-05' + i * interval '1 hour', i % 20, 0, 'new' FROM generate_series(1, 300) AS i",
    "copy of rows": "INSERT INTO t (id, at, n, v) SELECT id + 100000, at, n, v FROM t WHERE id % 17 = 4",
    "update": "UPDATE t SET v = v + 1 WHERE id % 50 = 3",
    "update of the segment": "UPDATE t SET n = (n + 1) % 20 WHERE id % 61 = 3",
    "update of the time": "UPDATE t SET at = at + interval '1 ms' WHERE id % 70 = 3",
    "delete of whole segments": "DELETE FROM t WHERE n = 4",
    "delete of a part of a segment": "DELETE FROM t WHERE n = 3 AND at < '2024-01-20'",
    "delete of a whole chunk's time": "DELETE FROM t WHERE at < '2024-01-09'",
    "delete of everything": "DELETE FROM t",
    "upsert": "INSERT INTO t (id, at, n, v) SELECT id, at, n, 7 FROM t WHERE id % 40 = 1 ON CONFLICT (id, at) DO UPDATE SET v = excluded.v",
    "conflict that does nothing": "INSERT INTO t (id, at, n, v) SELECT id, at, n, 7 FROM t WHERE id % 40 = 1 ON CONFLICT DO NOTHING",
    "cascade": "DELETE FROM parent WHERE n = 5",
    "truncate": "TRUNCATE t",
    "compress what was opened": "UPDATE t SET v = 1 WHERE id % 9 = 1; SELECT compress_chunk(c, if_not_compressed => true) FROM show_chunks('t') AS c",
    "open all": "SELECT decompress_chunk(c) FROM show_chunks('t') AS c; UPDATE t SET v = 2 WHERE id % 9 = 1",
}


def blocks_updates_of_keys(db: Database) -> bool:
    """Whether this TimescaleDB refuses to update a key's column in a compressed chunk."""
    [(version,)] = db.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    return tuple(map(int, re.findall(r"\d+", version)[:3])) >= (2, 28, 3)


def test_each_kind_of_write_to_compressed_chunks_is_captured(community: Job) -> None:
    """One after the other, and after each the judge: a row that the server changes in a batch of compressed rows fires its trigger."""
    job = community
    # In this order, so that there is something left to write to.
    kinds = sorted(COMPRESSED, key=lambda kind: (kind == "delete of everything", kind == "truncate"))
    for kind in kinds:
        job.db.execute("SELECT compress_chunk(c, if_not_compressed => true) FROM show_chunks('t') AS c")
        done = write(job.db, COMPRESSED[kind])
        assert done or (kind == "update of the time" and blocks_updates_of_keys(job.db)), kind
        job.sync()
        assert job.differences() == [], kind
        if kind == "truncate":
            job.db.execute("INSERT INTO t (at, n, v, note) SELECT timestamptz '2024-01-05' + i * interval '1 hour', i % 3, 0, 'new' FROM generate_series(1, 300) AS i")
    job.rollback()
    job.assert_equal()


REWRITES = {
    "compressed": ("", "SELECT compress_chunk('{chunk}')"),
    "opened": ("SELECT compress_chunk('{chunk}')", "SELECT decompress_chunk('{chunk}')"),
    "compressed again": (
        "SELECT compress_chunk('{chunk}'); INSERT INTO t (at, n, v) SELECT at + interval '1 ms', n, v FROM {chunk}",
        "SELECT compress_chunk('{chunk}', if_not_compressed => true)",
    ),
    "compressed again, and written to": (
        "SELECT compress_chunk('{chunk}'); INSERT INTO t (at, n, v) SELECT at + interval '1 ms', n, v FROM {chunk}",
        "SELECT compress_chunk('{chunk}', if_not_compressed => true); INSERT INTO t (at, n, v) SELECT min(at) + interval '2 ms', 1, 0 FROM {chunk}",
    ),
    "merged": ("", "CALL merge_chunks('{chunk}', '{next}')"),
}


@pytest.mark.parametrize("how", REWRITES)
def test_a_chunk_that_is_rewritten_behind_a_snapshot_loses_no_row(
    community: Job, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the snapshot and the reading: an apply found nothing there, deleted the rows from old, and forgot them."""
    job, db = community, community.db
    chunk, following = (row[0] for row in job.run("SELECT c::text FROM show_chunks('t') AS c ORDER BY 1 LIMIT 2"))
    before, meanwhile = (text.replace("{chunk}", chunk).replace("{next}", following) for text in REWRITES[how])
    if before:
        for statement in before.split("; "):
            db.execute(statement)
    look, acts = transaction.look, [meanwhile]

    def looked(conn: object, flow: object) -> None:
        look(conn, flow)  # type: ignore[arg-type]
        if acts:
            for statement in acts.pop().split("; "):
                db.execute(statement)

    db.execute(f"UPDATE t SET v = v + 1 WHERE at IN (SELECT at FROM {chunk} WHERE n = 3)")
    with monkeypatch.context() as patch:
        patch.setattr(transaction, "look", looked)
        job.sync()
    assert not acts
    job.sync()
    assert job.differences() == []
    # The same behind a verification's snapshot: what is equal is called equal.
    db.execute("SELECT decompress_chunk(c, true) FROM show_chunks('t') AS c")
    acts.append(f"SELECT compress_chunk('{chunk}')")
    with monkeypatch.context() as patch:
        patch.setattr(transaction, "look", looked)
        assert job.verify().match
    assert not acts
    job.rollback()
    job.assert_equal()


def test_a_chunk_that_is_emptied_behind_the_hypertables_back_is_found(community: Job) -> None:
    """TRUNCATE of a chunk fires no trigger of the hypertable's: verification finds it before a rollback, and repair mends it."""
    job = community
    chunk = job.value("SELECT c::text FROM show_chunks('t') AS c ORDER BY 1 LIMIT 1")
    gone = job.value(f"SELECT count(*) FROM {chunk}")
    job.run(f"TRUNCATE {chunk}")
    with pytest.raises(Refused, match="not the same"):
        job.rollback()
    assert job.verify(repair=True).match
    left = job.value("SELECT count(*) FROM t")
    job.rollback()
    assert job.value("SELECT count(*) FROM t") == left == 8000 - gone
    job.assert_equal()


def test_compressed_chunks_that_are_dropped_are_told_and_come_back_only_when_accepted(community: Job) -> None:
    job = community
    job.db.execute("SELECT compress_chunk(c) FROM show_chunks('t') AS c")
    job.db.execute("UPDATE t SET v = v + 1 WHERE id % 5 = 1")
    job.sync()  # what is still on its way when its chunk is dropped is gone from old as well
    before = job.value("SELECT count(*) FROM t")
    job.db.execute("SELECT drop_chunks('t', timestamptz '2024-02-01')")
    left = job.value("SELECT count(*) FROM t")
    assert job.status().dropped_ranges
    with pytest.raises(Refused, match=f"bring back {before - left} rows"):
        job.rollback()
    job.rollback(accept=frozenset({"dropped-ranges"}))
    assert job.value("SELECT count(*) FROM t") == before


# What the old key refuses, told at once.


def test_a_running_sync_tells_of_a_twin_within_a_round_and_of_its_end(db: Database) -> None:
    job = shop(db)
    stop, told = threading.Event(), []
    syncing = aside(lambda: engine.sync(job.dsn, "t", stop=stop, say=told.append))
    job.run("INSERT INTO t (id, at, n, note) VALUES (7, '2024-03-03', 1, 'twin')")
    eventually("sync tells of it", lambda: [text for text in told if "cannot take" in text])
    (text,) = [text for text in told if "cannot take" in text]
    for word in ("id 7", "2024-03-03", "duplicate key", "t_pkey"):
        assert word in text
    status = job.status()
    assert [(pair.pair["id"], pair.pair["at"]) for pair in status.quarantined] == [("7", "2024-03-03 00:00:00+00")]
    since = status.quarantined[0].since
    with pytest.raises(Refused, match="cannot take"):
        job.rollback(unverified=True)
    time.sleep(engine.LOOK_SECONDS + 1)
    status = job.status()
    assert status.quarantined[0].since == since, "tried again, and since when it is so is still told"
    assert len([text for text in told if "cannot take" in text]) == 1, "told once"
    assert job.value("SELECT count(*) FROM hyperferry.event WHERE kind = 'quarantined'") == 1
    # The other row of the two gives way: the twin is tried again by the sync that runs.
    job.run("UPDATE t SET id = 70007 WHERE id = 7 AND note <> 'TWIN'")
    eventually("it is gone from quarantine", lambda: job.status().quarantined_count == 0)
    stop.set()
    syncing.result(60)
    job.rollback()
    job.assert_equal()
    assert job.value("SELECT note FROM t WHERE id = 7") == "TWIN"
    job.close()


def test_a_twin_that_was_mended_without_a_sync_does_not_stop_the_rollback(db: Database) -> None:
    """A verification that still counts, and a row in quarantine whose hindrance is gone: the rollback tries it again first."""
    job = shop(db)
    job.run("INSERT INTO t (id, at, n, note) VALUES (7, '2024-03-03', 1, 'twin'), (8, '2024-03-03', 1, 'twin')")
    assert job.sync().quarantined_count == 2
    job.run("DELETE FROM t WHERE id = 7 AND note = 'TWIN'")
    job.run("DELETE FROM t WHERE id = 8 AND note <> 'TWIN'")
    job.rollback()
    assert job.value("SELECT string_agg(note, ',' ORDER BY id) FROM t WHERE id IN (7, 8)") == "ROW 7,TWIN"
    job.assert_equal()
    job.close()


# The stall.


def test_the_rollback_takes_as_long_as_the_cutover(db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """In one run, under a writer: the longest wait that we can have caused, at the quickest of four swaps (what else a machine
    does makes single ones longer, and none shorter)."""
    job = shop(db)
    stop = threading.Event()

    def writing() -> int:
        number = 0
        with db.connect() as conn:
            while not stop.is_set():
                number += 1
                conn.execute("INSERT INTO t (at, n, v) VALUES (now(), %s, 1)", [number % 20])
                conn.execute("UPDATE t SET v = v + 1 WHERE id = %s", [number])
                time.sleep(0.005)
        return number

    writer = aside(writing)
    stalls: dict[str, list[float]] = {"rollback": [], "cutover": []}
    for _ in range(4):
        stalls["rollback"].append(job.rollback().stall_ms)
        stalls["cutover"].append(job.cutover().stall_ms)
    stop.set()
    assert writer.result(60) > 10, "no error"
    middle = {way: statistics.median(values) for way, values in stalls.items()}
    with capsys.disabled():
        print(f"\nstall in ms: {stalls}; rollback / cutover = {middle['rollback'] / middle['cutover']:.2f}")
    assert min(stalls["rollback"]) < 10 * min(stalls["cutover"]) + 300
    job.sync()
    job.assert_equal()
    job.close()


# What happens to the rollout itself.


def test_a_finish_that_was_interrupted_says_that_only_it_goes_on(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    job = shop(db)

    def died(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(ending, "_remove_own", died)
        with pytest.raises(KeyboardInterrupt):
            job.finish()
    job.run("INSERT INTO t (at, n) VALUES ('2024-03-03', 1)")
    status = job.status()
    assert (status.phase, status.finishing) == ("cut_over", True)
    commands: tuple[Callable[[], object], ...] = (job.rollback, job.sync, job.verify, lambda: job.rollback(unverified=True))
    for command in commands:
        with pytest.raises(Refused, match="was interrupted") as caught:
            command()
        assert "hyperferry finish public.t --confirm public.t" in caught.value.remedy
    assert job.finish().phase == "finished"
    assert job.value("SELECT count(*) FROM t") == 8001
    job.close()


def test_a_new_owner_may_put_capture_on_new_chunks_as_soon_as_sync_sees_him(db: Database) -> None:
    """A chunk gets its triggers in the owner's name: after ALTER TABLE ... OWNER TO, an INSERT into a new one failed for ever."""
    job = shop(db)
    owner, app = db.make_role("owner"), db.make_role("app")
    db.execute(f'GRANT ALL ON SCHEMA public TO "{owner}"; GRANT ALL ON t, audit TO "{app}"; GRANT ALL ON audit, parent TO "{owner}"; GRANT USAGE ON SEQUENCE t_id_seq TO "{app}"')
    db.execute(f'ALTER TABLE t OWNER TO "{owner}"; ALTER TABLE parent OWNER TO "{owner}"')
    new = "INSERT INTO t (at, n) VALUES ('2031-01-01', 1)"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        job.run(new, role=app)
    job.sync()
    assert any(f"belongs to {owner}" in text for text in job.said)
    job.run(new, role=app)
    job.sync()
    job.assert_equal()
    with pytest.raises(Refused, match="was changed"):
        job.rollback()
    with db.connect() as conn:
        conn.execute(f'ALTER TABLE t OWNER TO "{conn.info.user}"'.encode())
        conn.execute(f'ALTER TABLE parent OWNER TO "{conn.info.user}"'.encode())
    job.close()
