"""Ways from a plain table to a filled, indexed hypertable; each leaves the source as it was."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .account import own_account
from .place import Connection, Place, as_installed
from .tables import CHUNK, SOURCE, add_indexes

ID_BATCH = 10_000
"""The runbook's batch: a range of so many ids."""


@dataclass(frozen=True)
class Job:
    """What is to be converted, and where."""

    place: Place
    conn: Connection
    rows: int
    indexes: int


@dataclass(frozen=True)
class Timing:
    """Seconds of one conversion. `total` is all but ANALYZE; where the result was proved `verify` is the part of it that did
    so, and `load` the part from the first row copied to the last index built. `writes`: rows a second that others wrote
    meanwhile, where any were to."""

    total: float
    analyze: float
    verify: float | None = None
    load: float | None = None
    writes: float | None = None


def _hypertable(job: Job, name: str) -> None:
    """An empty hypertable without any index."""
    job.conn.execute(
        f"CREATE TABLE public.{name} (LIKE public.{SOURCE} INCLUDING DEFAULTS INCLUDING STORAGE)"
    )
    job.conn.execute(
        "SELECT create_hypertable(%s::regclass, 'game_date', chunk_time_interval => %s::interval, "
        "create_default_indexes => false)",
        [f"public.{name}", CHUNK],
    )


def _add_key_and_indexes(job: Job, name: str) -> None:
    """Those that the source has, the key widened by the time."""
    job.conn.execute(f"ALTER TABLE public.{name} ADD PRIMARY KEY (id, game_date)")
    add_indexes(job.conn, name, job.indexes)


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def _dropped(job: Job, name: str) -> Iterator[str]:
    try:
        yield name
    finally:
        job.conn.execute(f"DROP TABLE IF EXISTS public.{name}")


def _analyzed(job: Job, name: str) -> float:
    return _timed(lambda: job.conn.execute(f"ANALYZE public.{name}"))


def insert_select(job: Job) -> Timing:
    """What the documentation says: a hypertable with its indexes, then one INSERT ... SELECT. Writers would have to stop."""
    with _dropped(job, "converted") as name:

        def work() -> None:
            _hypertable(job, name)
            _add_key_and_indexes(job, name)
            job.conn.execute(f"INSERT INTO public.{name} SELECT * FROM public.{SOURCE}")

        return Timing(_timed(work), _analyzed(job, name))


def insert_select_bare(job: Job) -> Timing:
    """The documentation's other way, which it says is faster: without indexes; the key and they are made afterwards, within the
    time that is measured. Writers would have to stop."""
    with _dropped(job, "converted") as name:

        def work() -> None:
            _hypertable(job, name)
            job.conn.execute(f"INSERT INTO public.{name} SELECT * FROM public.{SOURCE}")
            _add_key_and_indexes(job, name)

        return Timing(_timed(work), _analyzed(job, name))


def id_batches(job: Job) -> Timing:
    """As the runbook has it: the same, in batches of 10,000 ids, each committed; as hyperferry's own batches, without a wait for
    the disk but at the end."""
    with _dropped(job, "converted") as name:

        def work() -> None:
            _hypertable(job, name)
            _add_key_and_indexes(job, name)
            found = job.conn.execute(f"SELECT max(id) FROM public.{SOURCE}").fetchone()
            last = int(str(found[0])) if found else 0
            job.conn.execute("SET synchronous_commit = off")
            for low in range(0, last, ID_BATCH):
                if low + ID_BATCH >= last:
                    job.conn.execute("RESET synchronous_commit")
                job.conn.execute(
                    f"INSERT INTO public.{name} SELECT * FROM public.{SOURCE} WHERE id > {low} AND id <= {low + ID_BATCH}"
                )

        return Timing(_timed(work), _analyzed(job, name))


def migrate_data(job: Job) -> Timing:
    """`create_hypertable(migrate_data => true)` on a copy of the table that has its indexes already; the key is widened in the
    same time, as it has to be. Nobody could read or write the table meanwhile."""
    with _dropped(job, "converted") as name:
        job.conn.execute(
            f"CREATE TABLE public.{name} (LIKE public.{SOURCE} INCLUDING DEFAULTS INCLUDING STORAGE)"
        )
        job.conn.execute(f"INSERT INTO public.{name} SELECT * FROM public.{SOURCE}")
        job.conn.execute(f"ALTER TABLE public.{name} ADD CONSTRAINT {name}_pkey PRIMARY KEY (id)")
        add_indexes(job.conn, name, job.indexes)
        job.conn.execute(f"VACUUM (ANALYZE) public.{name}")
        job.conn.execute("CHECKPOINT")

        def work() -> None:
            with job.conn.transaction():
                job.conn.execute(f"ALTER TABLE public.{name} DROP CONSTRAINT {name}_pkey")
                job.conn.execute(
                    f"ALTER TABLE public.{name} ADD CONSTRAINT {name}_pkey PRIMARY KEY (id, game_date)"
                )
                job.conn.execute(
                    "SELECT create_hypertable(%s::regclass, 'game_date', chunk_time_interval => %s::interval, "
                    "create_default_indexes => false, migrate_data => true)",
                    [f"public.{name}", CHUNK],
                )

        return Timing(_timed(work), _analyzed(job, name))


def plain_table(job: Job) -> Timing:
    """The floor: no hypertable at all; the rows loaded into a plain table, then the same key and indexes, one by one."""
    with _dropped(job, "converted") as name:

        def work() -> None:
            job.conn.execute(
                f"CREATE TABLE public.{name} (LIKE public.{SOURCE} INCLUDING DEFAULTS INCLUDING STORAGE)"
            )
            job.conn.execute(f"INSERT INTO public.{name} SELECT * FROM public.{SOURCE}")
            _add_key_and_indexes(job, name)

        return Timing(_timed(work), _analyzed(job, name))


def hyperferry_idle(job: Job) -> Timing:
    """`hyperferry start`, from the command's first moment to `synced`: planned, captured, copied, indexed, verified."""
    return _hyperferry(job)


def hyperferry_writes(job: Job) -> Timing:
    """The same while pgbench is to make 1,000 single-row transactions a second on the table: half INSERT, half UPDATE. What it
    came to is counted: on a machine that is busy with both it can be less."""
    with writers(job.place, job.rows, rate=1_000):
        return _hyperferry(job, beside_writers=True)


def ferry(place: Place, *words: str, seconds: float | None = None) -> str:
    """Runs the program as a user would; returns what it printed. Raises RuntimeError where it fails, subprocess.TimeoutExpired
    where it takes longer than `seconds`; it has been killed then."""
    done = subprocess.run(
        [sys.executable, "-m", "hyperferry", *words, "--dsn", place.dsn],
        capture_output=True,
        text=True,
        timeout=seconds,
        env=as_installed(),
    )
    if done.returncode != 0:
        raise RuntimeError(f"hyperferry {' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def rows_written(conn: Connection) -> int:
    """Rows that were inserted into the source and updated in it so far, as far as sessions told: each does so once a second."""
    row = conn.execute(
        "SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE relid = %s::regclass", [f"public.{SOURCE}"]
    ).fetchone()
    return int(str(row[0])) if row else 0


def _hyperferry(job: Job, *, beside_writers: bool = False) -> Timing:
    table = f"public.{SOURCE}"
    before, started = rows_written(job.conn), time.perf_counter()
    try:
        ferry(job.place, "start", table, "--time", "game_date", "--chunk-interval", CHUNK, "--json")
        total = time.perf_counter() - started
        writes = round((rows_written(job.conn) - before) / total) if beside_writers else None
        own = own_account(job.conn)
    finally:
        ferry(job.place, "abort", table)
        job.conn.execute(f"VACUUM public.{SOURCE}")
    return Timing(total - own.analyze, own.analyze, own.verified - own.verifying, own.indexed - own.copying, writes)


@contextmanager
def writers(
    place: Place, rows: int, *, rate: int | None, clients: int = 4
) -> Iterator[subprocess.Popen[str]]:
    """pgbench beside the block: `clients` sessions with single-row transactions, `rate` a second in all (None: as many as
    go)."""
    script = Path(__file__).with_name("writers.pgbench")
    command = [
        str(place.pgbench), "--no-vacuum", f"--client={clients}", "--jobs=1", "--time=86400", "--protocol=prepared",
        f"--define=rows={rows}", f"--file={script}", place.dsn,
    ]  # fmt: skip
    if rate is not None:
        command.insert(1, f"--rate={rate}")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(1.0)
        if process.poll() is not None:
            raise RuntimeError(f"pgbench ended: {process.communicate()[1]}")
        yield process
        if process.poll() is not None:
            raise RuntimeError(f"pgbench ended early: {process.communicate()[1]}")
    finally:
        process.terminate()
        process.wait(10)


CONTENDERS: dict[str, Callable[[Job], Timing]] = {
    "INSERT ... SELECT": insert_select,
    "INSERT ... SELECT, indexes after": insert_select_bare,
    "batches of 10,000 ids": id_batches,
    "migrate_data": migrate_data,
    "plain table": plain_table,
    "hyperferry": hyperferry_idle,
    "hyperferry, 1,000 writes/s": hyperferry_writes,
}
