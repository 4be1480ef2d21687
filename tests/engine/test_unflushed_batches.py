"""The commits of batches and of slices do not wait for the disk: a crash may take one, and then all that it did: a batch's rows and
its mark in the ledger, a slice's rows and the removal of its log rows."""

from __future__ import annotations

import pytest
from job import HOURS, Job

from hyperferry.model.plan_options import PlanOptions
from kit.tables import Table
from servers import Database, Server
from torture.server import server_of

TABLE = Table("public", "t", "at", (), ("id", "at", "v"), 0)
SMALL_BATCHES = PlanOptions(chunk_interval="365 days", batch_rows=10, workers=1)

MARKS = """
SELECT b.id, b.state = 'done', (SELECT count(*) FROM {source} AS s WHERE within), (SELECT count(*) FROM {shadow} AS s WHERE within)
FROM {batch} AS b ORDER BY b.id
""".replace("within", "(b.lo_t IS NULL OR s.at >= b.lo_t) AND (b.hi_t IS NULL OR s.at < b.hi_t)")


@pytest.mark.slow
def test_a_crash_of_the_server_takes_a_batch_and_its_mark_together(db: Database) -> None:
    with server_of(db.release) as server, server.database() as name:
        with server.connect() as conn:
            conn.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
            conn.execute("SELECT pg_reload_conf()")

        def there() -> Database:
            return Database(name, Server(db.release, server.dsn, None))

        there().execute(HOURS)
        job = Job(there(), TABLE, SMALL_BATCHES).cut()
        job.copy_next()
        with server.connect(name) as conn:
            conn.execute("CREATE TABLE flushed ()")  # whoever waits for the disk has all before it written as well
        told = 1 + len([job.copy_next() for _ in range(20)])
        server.restart()
        job.close()

        job = Job(there(), TABLE, SMALL_BATCHES)
        found = job.run(MARKS)
        assert [(copied, there_are) for _, copied, _, there_are in found] == [
            (copied, of if copied else 0) for _, copied, of, _ in found
        ]
        done = [number for number, copied, _, _ in found if copied]
        assert 1 <= len(done) < told, "nothing was lost, so nothing was tried"
        job.start()
        job.assert_equal()
        assert job.value("SELECT count(*) FROM {shadow}") == 300
        job.close()


@pytest.mark.slow
def test_a_crash_of_the_server_brings_back_the_log_rows_of_each_slice_that_it_takes(db: Database) -> None:
    with server_of(db.release) as server, server.database() as name:
        with server.connect() as conn:
            conn.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
            conn.execute("SELECT pg_reload_conf()")

        def there() -> Database:
            return Database(name, Server(db.release, server.dsn, None))

        there().execute(HOURS)
        job = Job(there(), TABLE, SMALL_BATCHES).cut().copy_all()
        job.run("UPDATE {table} SET v = 'changed' WHERE id <= 40; DELETE FROM {table} WHERE id > 280")
        applier = job.applier(slice_rows=3)
        assert applier.apply_slice(pending_batches=False).changes == 3
        with server.connect(name) as conn:
            conn.execute("CREATE TABLE flushed ()")
        applied = 3
        for _ in range(18):  # the WAL writer comes by every ten seconds, and may have come by just now
            before = job.value("SELECT pg_current_wal_insert_lsn()")
            applied += applier.apply_slice(pending_batches=False).changes
            if applied > 30 and job.value("SELECT pg_current_wal_flush_lsn() < %s", before):
                break
        server.restart()
        job.close()

        job = Job(there(), TABLE, SMALL_BATCHES)
        in_log = {key for (key,) in job.run("SELECT k1 FROM {log}")}
        assert 60 - applied < len(in_log) <= 57, "nothing was lost, so nothing was tried"
        stale = job.run("SELECT id FROM {shadow} WHERE id <= 40 AND v <> 'changed' OR id > 280")
        assert {key for (key,) in stale} == in_log
        job.start()
        job.assert_equal()
        job.close()
