"""The three ways in which an index comes onto a hypertable and its chunks. See README.md for what each costs a writer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from ..db import (
    Blocker,
    blocker_facts,
    cancel_autovacuum,
    connect_beside,
    execute,
    fetch_all,
    fetch_one,
    fetch_value,
    is_lock_failure,
    is_unique_violation,
    pause_seconds,
    yield_and_retry,
)
from ..db.autovacuum import deadlock_timeout_ms
from ..db.connection import Connection
from ..errors import Failed, LockUnavailable, Refused
from ..model.names import TableName, chunk_index_name
from ..model.statement import Fragment
from ..words import duration, plural
from .index_state import Chunk, Target, Wanted, chunks, query
from .running import run_watched

ROOT_WAIT_SECONDS = 0.3
"""How long the root's lock is waited for: all writers queue behind it."""
BEHIND_SECONDS = 0.5
"""A build that stops no writer gives way to whoever has waited behind it for so long (DDL, drop_chunks: with readers
behind them)."""
LONG_SECONDS = 1.0
"""A writer whose transaction is older is waited for before a build that would have to wait for it."""
CONCURRENT_WAIT_SECONDS = 60
PER_CHUNK_ATTEMPTS = 5
CHUNK_ATTEMPTS = 30
SAY_SECONDS = 2.0


class _GiveWay(Exception):
    """Somebody waits behind us, or we would keep writers waiting."""


@dataclass
class Run:
    """One build: the session, the hypertable, the index, and who is told."""

    conn: Connection
    where: Target
    want: Wanted
    say: Callable[[str], None]
    should_stop: Callable[[], None]

    @property
    def root(self) -> sql.SQL:
        """The root index's name, as it stands in CREATE INDEX (it goes where its table is)."""
        return Fragment(TableName("", self.want.name).quoted.split(".", 1)[1])

    @property
    def table(self) -> sql.SQL:
        """The hypertable, or the aggregate, as the user named it."""
        return Fragment(self.where.name.quoted)

    def create(self, what: str, name: sql.Composable, on: sql.Composable) -> sql.Composed:
        """CREATE [UNIQUE] INDEX [CONCURRENTLY] name ON ... with the index's definition."""
        return sql.SQL("CREATE {}{} {} ON {} {}").format(
            sql.SQL("UNIQUE " if self.want.unique else ""), sql.SQL(what), name, on, Fragment(self.want.tail)
        )

    def missing(self, conn: Connection | None = None) -> list[Chunk]:
        """The chunks that lack the index."""
        return [chunk for chunk in chunks(conn or self.conn, self.where, self.want) if not chunk.has_it]


def concurrently(run: Run) -> tuple[int, float]:
    """Each chunk by CREATE INDEX CONCURRENTLY, then the root alone, which adopts them. Gives the chunks built and the
    longest seconds.

    The root comes last, so that it is there only when every chunk has it. A chunk that is made meanwhile is found
    under the root's lock (a unique index without its chunk's would fail ON CONFLICT), or, for one that is not unique,
    right after it.
    """
    built, longest, said, total = 0, 0.0, time.monotonic(), len(run.missing())
    with connect_beside(run.conn, purpose="index progress") as side:
        while True:
            todo = run.missing()
            for number, chunk in enumerate(todo):
                run.should_stop()
                begun = time.monotonic()
                _one_chunk(run, side, chunk)
                longest = max(longest, time.monotonic() - begun)
                built += 1
                if time.monotonic() - said >= SAY_SECONDS or number == len(todo) - 1:
                    said = time.monotonic()
                    run.say(f"index {run.want.name}: chunk {built} of {max(total, built)}")
            if _adopt(run):
                break
        # Chunks made between the look and the root's index; after it every new chunk has it from the start.
        for chunk in run.missing():
            _one_chunk(run, side, chunk)
            built += 1
    return built, longest


def _one_chunk(run: Run, side: Connection, chunk: Chunk) -> None:
    """The index on one chunk: tried again where it had to give way, and an invalid one dropped first."""
    name = _name_on(run.conn, chunk, run.want.name)
    statement = run.create("INDEX CONCURRENTLY", Fragment(_quoted(name)), Fragment(chunk.name.quoted))
    pid = run.conn.info.backend_pid
    last: list[Blocker] = []

    def give_way() -> None:
        if (fetch_value(side, query("waits_behind"), {"pid": pid}) or 0) > BEHIND_SECONDS:
            raise _GiveWay

    for attempt in range(1, CHUNK_ATTEMPTS + 1):
        run.should_stop()
        try:
            with _waiting(run.conn, CONCURRENT_WAIT_SECONDS * 1000):
                run_watched(run.conn, statement, tick=give_way, should_stop=run.should_stop)
            return
        except psycopg.errors.UndefinedTable:
            return  # the chunk was dropped meanwhile
        except (_GiveWay, psycopg.Error) as error:
            if isinstance(error, psycopg.Error) and is_unique_violation(error):
                _not_unique(run, chunk, error)
            if isinstance(error, psycopg.Error) and not is_lock_failure(error):
                raise
            last = _long_writers(side, run.where) or last
            drop_concurrently(run.conn, run.where, TableName(chunk.name.schema, name), run.should_stop)
            time.sleep(pause_seconds(attempt))
    raise _no_lock(f"build the index on {chunk.name}", run, CHUNK_ATTEMPTS, last)


def _adopt(run: Run) -> bool:
    """The root's index, which takes the chunks' ones for its own; False where a chunk lacks it by now.

    Not unique: TimescaleDB's transaction_per_chunk keeps ONLY from locking every chunk (SHARE on all of them otherwise).
    """
    only = sql.SQL("ONLY {}").format(run.table)
    if not run.want.unique:
        tail = _with_option(run.want.tail, "timescaledb.transaction_per_chunk")
        plain = Run(run.conn, run.where, replace(run.want, tail=tail), run.say, run.should_stop)
        statement = plain.create("INDEX", run.root, only)
        yield_and_retry(
            run.conn,
            "adopt the chunks' indexes",
            [run.where.name],
            lambda: execute(run.conn, statement),
            should_stop=run.should_stop,
        )
        return True

    def work() -> bool:
        cancel_autovacuum(run.conn, run.where.name)
        with run.conn.transaction():
            execute(run.conn, sql.SQL("LOCK TABLE {} IN SHARE MODE").format(only))
            if run.missing():
                return False
            execute(run.conn, "SET LOCAL lock_timeout = '1ms'")
            execute(run.conn, run.create("INDEX", run.root, only))
            return True

    return yield_and_retry(
        run.conn,
        "adopt the chunks' indexes",
        [run.where.name],
        work,
        chunks=True,
        should_stop=run.should_stop,
    )


def per_chunk(run: Run) -> tuple[int, float]:
    """By TimescaleDB, a transaction a chunk. What fails half-way leaves an invalid index and is begun anew, after its
    remains are dropped."""
    tail = _with_option(run.want.tail, "timescaledb.transaction_per_chunk")
    with_option = Run(run.conn, run.where, replace(run.want, tail=tail), run.say, run.should_stop)
    statement = with_option.create("INDEX", run.root, run.table)
    last: list[Blocker] = []
    with connect_beside(run.conn, purpose="index progress") as side:
        for attempt in range(1, PER_CHUNK_ATTEMPTS + 1):
            _outwait_long_writers(run, side)
            watch = _Watch(run, side)
            # Longer than deadlock_timeout, so that an autovacuum gives way. Nothing is held meanwhile that the
            # application could want.
            wait = deadlock_timeout_ms(run.conn) + 1000 * attempt
            try:
                with _waiting(run.conn, wait):
                    run_watched(run.conn, statement, tick=watch, should_stop=run.should_stop)
                left = run.missing()
                if left:
                    raise Failed(
                        f"The index {run.want.name} is not on every chunk.",
                        facts={"chunks without it": ", ".join(str(chunk.name) for chunk in left[:5])},
                        remedy="run the same command again.",
                    )
                return watch.total, watch.longest
            except _GiveWay:
                last = _long_writers(side, run.where) or last
                _drop_remains(run)
                time.sleep(pause_seconds(attempt + 2))
            except psycopg.Error as error:
                if not is_lock_failure(error):
                    if not run.conn.closed:
                        _drop_remains(run)
                    raise
                last = _long_writers(side, run.where) or last
                run.say(
                    f"index {run.want.name}: a chunk's lock was not to be had; what was built is dropped, and it is begun anew"
                )
                _drop_remains(run)
            except BaseException:
                _drop_remains(run, stoppable=False)
                raise
    raise _no_lock(f"build the index {run.want.name}", run, PER_CHUNK_ATTEMPTS, last)


class _Watch:
    """Looks at a build by TimescaleDB: progress, the longest chunk, and whether the root's lock keeps all writers
    waiting."""

    def __init__(self, run: Run, side: Connection) -> None:
        self._run, self._side = run, side
        self._before = {chunk.oid for chunk in run.missing(side)}
        self.total = len(self._before)
        self.longest = 0.0
        self._since = self._said = time.monotonic()
        self._done = 0

    def __call__(self) -> None:
        """One look. Raises where the root's lock has been waited for too long."""
        waits = fetch_one(self._side, query("our_wait"), {"pid": self._run.conn.info.backend_pid})
        if waits is not None and waits[0] == self._run.where.oid and waits[1] > ROOT_WAIT_SECONDS:
            raise _GiveWay
        now = time.monotonic()
        if now - self._said < SAY_SECONDS / 4:
            return
        self._said = now
        done = self.total - len(
            [chunk for chunk in self._run.missing(self._side) if chunk.oid in self._before]
        )
        if done > self._done:
            self.longest = max(self.longest, (now - self._since) / (done - self._done))
            self._since, self._done = now, done
            self._run.say(f"index {self._run.want.name}: chunk {done} of {self.total}")


def at_once(run: Run) -> tuple[int, float]:
    """In one transaction: the root's lock first, the chunks' at once or not at all, then every writer waits until it
    is built."""
    built = len(run.missing())
    begun = time.monotonic()

    def work() -> None:
        cancel_autovacuum(run.conn, run.where.name)
        with run.conn.transaction():
            execute(run.conn, sql.SQL("LOCK TABLE ONLY {} IN SHARE MODE").format(run.table))
            execute(run.conn, "SET LOCAL lock_timeout = '1ms'")
            run_watched(
                run.conn,
                run.create("INDEX", run.root, run.table),
                tick=lambda: None,
                should_stop=run.should_stop,
            )

    try:
        yield_and_retry(
            run.conn,
            f"build the index {run.want.name}",
            [run.where.name],
            work,
            chunks=True,
            should_stop=run.should_stop,
        )
    except psycopg.Error as error:
        if is_unique_violation(error):
            _not_unique(run, None, error)
        raise
    return built, time.monotonic() - begun


def drop_concurrently(
    conn: Connection, where: Target, name: TableName, should_stop: Callable[[], None]
) -> None:
    """Drops a chunk's index without stopping a writer."""
    with _waiting(conn, CONCURRENT_WAIT_SECONDS * 1000):
        yield_and_retry(
            conn,
            f"drop the index {name}",
            [where.name],
            lambda: execute(
                conn, sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(Fragment(name.quoted))
            ),
            should_stop=should_stop,
            chunks=True,
        )


def drop_root(
    conn: Connection, where: Target, name: TableName, oid: int, should_stop: Callable[[], None]
) -> None:
    """Drops the root's invalid index. What has that name by now and is not the index of that OID, or is valid, is left."""

    def work() -> None:
        with conn.transaction():
            execute(conn, sql.SQL("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE").format(Fragment(where.root.quoted)))
            row = fetch_one(conn, query("root_index"), {"root": where.oid, "name": name.name})
            if row is not None and not row[2] and int(row[3]) == oid:
                execute(conn, sql.SQL("DROP INDEX {}").format(Fragment(name.quoted)))

    yield_and_retry(conn, f"drop the invalid index {name}", [where.root], work, should_stop=should_stop)


def _drop_remains(run: Run, *, stoppable: bool = True) -> None:
    """What a build by TimescaleDB left: its chunks' indexes, then the root's. Nothing where the session is gone: the
    next run does it."""
    if run.conn.closed:
        return
    stop = run.should_stop if stoppable else lambda: None
    row = fetch_one(run.conn, query("root_index"), {"root": run.where.oid, "name": run.want.name})
    if row is None or row[2]:
        return
    for chunk in chunks(run.conn, run.where, run.want):
        if chunk.index:
            drop_concurrently(run.conn, run.where, TableName(chunk.name.schema, chunk.index), stop)
    drop_root(run.conn, run.where, TableName(run.where.root.schema, run.want.name), int(row[3]), stop)


def _not_unique(run: Run, chunk: Chunk | None, error: psycopg.Error) -> None:
    """Raises Refused. The chunks that are built already would go on refusing rows for a table that has no such key:
    they go."""
    if chunk is not None:
        for each in chunks(run.conn, run.where, run.want):
            if each.index:
                drop_concurrently(run.conn, run.where, TableName(each.name.schema, each.index), lambda: None)
    raise Refused(
        f"The rows of {run.where.name} are not unique by {run.want.name}.",
        facts={
            "chunk": chunk.name if chunk else error.diag.table_name or "?",
            "server said": error.diag.message_detail or str(error),
        },
        remedy="remove or mend the rows that stand twice, then run the same command again. What was built is dropped.",
    ) from None


def _name_on(conn: Connection, chunk: Chunk, root: str) -> str:
    """The name that TimescaleDB would give to the chunk's index; that of the invalid one which is there, else the
    first that is free."""
    names = [chunk_index_name(chunk.name.name, root, number) for number in range(20)]
    rows = fetch_all(conn, query("taken_in"), {"schema": chunk.name.schema, "names": names})
    taken = {row[0] for row in rows}
    return next((name for name in names if name not in taken), names[-1])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _with_option(tail: str, option: str) -> str:
    """The tail with one more option: in its WITH, else in one of its own before WHERE."""
    from ..model.definitions import insert_clause, storage_clause

    there = storage_clause(tail)
    if there:
        start = tail.index(there)
        return f"{tail[: start + len(there) - 1]}, {option}{tail[start + len(there) - 1 :]}"
    return insert_clause(tail, f"WITH ({option})")


class _waiting:
    """lock_timeout for the length of the block, then as it was."""

    def __init__(self, conn: Connection, milliseconds: int) -> None:
        self._conn, self._ms = conn, milliseconds

    def __enter__(self) -> None:
        self._before = fetch_value(self._conn, "SELECT current_setting('lock_timeout')")
        self._set(f"{self._ms}ms")

    def __exit__(self, *_: object) -> None:
        if not self._conn.closed:
            self._set(self._before)

    def _set(self, value: str) -> None:
        execute(self._conn, sql.SQL("SET lock_timeout = {}").format(sql.Literal(value)))


def _long_writers(side: Connection, where: Target, seconds: float = LONG_SECONDS) -> list[Blocker]:
    rows = fetch_all(side, query("long_writers"), {"root": where.oid, "seconds": seconds})
    return [
        Blocker(int(r[0]), r[1] or "", r[2] or "", r[3] or "", float(r[4] or 0), r[5] or "") for r in rows
    ]


def _outwait_long_writers(run: Run, side: Connection) -> None:
    """Waits until no writer's transaction is old: half the work would be lost if its chunk's turn came meanwhile."""
    begun, said = time.monotonic(), False
    while long := [b for b in _long_writers(side, run.where) if b.pid != run.conn.info.backend_pid]:
        run.should_stop()
        if not said:
            run.say(f"waits for {plural(len(long), 'writer')} with an old transaction, first {long[0]}")
            said = True
        if time.monotonic() - begun > OUTWAIT_SECONDS:
            raise LockUnavailable(
                f"Did not begin to build {run.want.name}: old transactions write to {run.where.name}.",
                facts={"waited": duration(time.monotonic() - begun), **blocker_facts(long)},
                remedy="nothing was begun; end or wait for the sessions named, then run the same command again.",
            )
        time.sleep(0.5)


OUTWAIT_SECONDS = 600.0


def _no_lock(what: str, run: Run, attempts: int, last: list[Blocker]) -> LockUnavailable:
    return LockUnavailable(
        f"Could not {what}: the lock was not to be had.",
        facts={"attempts": attempts, "table": run.where.name, **blocker_facts(last)},
        remedy="end or wait for the sessions named, then run the same command again.",
    )
