"""What the tests of the swap share: a small table, the state of the database as one value, a proxy that loses connections."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import psycopg
import pytest
from job import Job
from psycopg import sql

from hyperferry import engine
from hyperferry.db import execute
from hyperferry.db.connection import Connection
from hyperferry.errors import HyperferryError
from hyperferry.ledger import store
from hyperferry.model.plan_options import PlanOptions
from kit.oracle import describe
from kit.tables import Table, described
from servers import Database, Server, drop_database, make_database

ALL = frozenset({"all"})
WEEKS = PlanOptions(chunk_interval="7 days", workers=1)

SMALL = """
CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL, n integer, v numeric, note text);
INSERT INTO t (at, n, v, note)
SELECT timestamptz '2024-01-01' + i * interval '3 hours', i % 7, i % 10, 'row ' || i FROM generate_series(1, 400) AS i;
CREATE INDEX t_at ON t (at);
"""
"""50 days from 2024-01-01 in eight chunks of a week; ids 1 to 400."""

VIEWED = (
    SMALL
    + """
CREATE VIEW sums AS SELECT n, sum(v) AS total FROM t GROUP BY n;
CREATE VIEW latest AS SELECT id, at, note FROM t WHERE at > '2024-02-01';
CREATE VIEW outer_latest AS SELECT id, note FROM latest WHERE id % 2 = 0;
"""
)

CHILD = """
CREATE TABLE parent (n integer PRIMARY KEY, name text);
INSERT INTO parent SELECT i, 'parent ' || i FROM generate_series(0, 9) AS i;
""" + SMALL.replace("n integer", "n integer REFERENCES parent ON DELETE CASCADE")
"""The small table with a parent."""


Ready = Callable[..., Job]

_templates: dict[tuple[str, str], tuple[Server, str]] = {}


def _template(server: Server, text: str, options: PlanOptions) -> str:
    """The name of a database with the table synced in it, which others are made from: that is quicker than a copy each."""
    found = _templates.get((server.release, text))
    if found is None:
        database = make_database(server)
        database.execute(text)
        made = Job(database, _table(database), options)
        made.start()
        made.close()
        with server.connect() as conn:
            name = sql.Identifier(made.db.name)
            conn.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [made.db.name]
            )
        found = _templates[server.release, text] = (server, made.db.name)
    return found[1]


def _table(db: Database) -> Table:
    with db.connect() as conn:
        return described(conn, "public", "t", "at", "id")


@pytest.fixture(scope="session", name="swap_templates")
def templates_fixture() -> Iterator[None]:
    """Drops the templates at the end."""
    yield
    while _templates:
        server, name = _templates.popitem()[1]
        drop_database(Database(name, server))


@pytest.fixture(name="ready")
def ready_fixture(server: Server, swap_templates: None) -> Iterator[Ready]:
    """`ready()`: the small table, synced, in a database of its own. `ready(TEXT)`: another table `public.t` by `at`."""
    jobs: list[Job] = []

    def make(text: str = SMALL, options: PlanOptions = WEEKS) -> Job:
        template = _template(server, text, options)
        database = Database(f"t_{uuid.uuid4().hex[:12]}", server)
        with server.connect() as conn:
            conn.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(database.name), sql.Identifier(template)
                )
            )
        job = Job(database, _table(database), options)
        job.__dict__["plan"] = store.latest(job.conn, None)[0].plan
        jobs.append(job)
        return job

    yield make
    for job in jobs:
        job.close()
        drop_database(job.db)


def state(job: Job) -> dict[str, Any]:
    """The phase, what the catalogs say of the application's table, its views and the shadow's home, and its rows."""
    with job.db.connect() as conn:
        return {
            "phase": job.phase(),
            "catalogs": describe(conn, job.table),
            "relations": conn.execute(
                "SELECT c.oid::bigint, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE (n.nspname LIKE 'hyperferry\\_%%' OR n.nspname = 'public') AND c.relkind IN ('r', 'v', 'S') ORDER BY 1"
            ).fetchall(),
            "rows": conn.execute(
                sql.SQL("SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {} AS t").format(
                    job.table.ident
                )
            ).fetchall(),
        }


def relation_oid(job: Job, name: str = "t") -> int:
    """Which relation has the name now; 0 where none has."""
    return int(job.db.execute("SELECT COALESCE(to_regclass(%s)::oid::bigint, 0)", name)[0][0])


@contextlib.contextmanager
def refused(job: Job, error: type[HyperferryError], match: str = ".") -> Iterator[None]:
    """The work in the block is refused (exit code 3, or what the error has), and nothing was changed."""
    before = state(job)
    with pytest.raises(error, match=match) as caught:
        yield
    assert type(caught.value) is error
    assert caught.value.remedy
    assert state(job) == before
    assert_no_locks(job.db)


def assert_no_locks(db: Database) -> None:
    """No session of ours holds a lock on anything of the application's."""
    found = db.execute(
        "SELECT a.application_name, l.relation::regclass, l.mode FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
        "WHERE a.application_name LIKE 'hyperferry%' AND a.datname = current_database() AND l.locktype = 'relation' "
        "AND l.mode LIKE '%Exclusive%'"
    )
    assert not found


def insert(job: Job, at: str = "2024-02-20", note: str = "new", **options: Any) -> int:
    """A write of the application through the table's name; the new id."""
    return int(
        job.run(
            "INSERT INTO {table} (at, n, v, note) VALUES (%s, 1, 1, %s) RETURNING id", at, note, **options
        )[0][0]
    )


def same_after_sync(job: Job) -> None:
    """The backlog is applied, and both sides hold the same rows, by a judge who does not know hyperferry."""
    assert job.sync().backlog == 0
    job.assert_equal()


def cutover_of(dsn: str, **options: Any) -> Any:
    """A cutover of `t` through another DSN."""
    return engine.cutover(dsn, "public.t", accept=ALL, **options)


def is_swap(statement: Any) -> bool:
    """The one message that holds the locks and the DO block."""
    return isinstance(statement, sql.Composed) and "SET SCHEMA" in statement.as_string(None)


def after_swap_message(
    monkeypatch: pytest.MonkeyPatch, action: Callable[[Connection], None], times: int = 1
) -> list[int]:
    """Runs `action` between the swap's message and its COMMIT, while every lock is held; at most `times`. The list grows by
    one with each message."""
    from hyperferry.cutover import runner

    seen: list[int] = []

    def patched(conn: Connection, statement: Any, params: Any = None) -> Any:
        done = execute(conn, statement, params)
        if is_swap(statement):
            seen.append(conn.info.backend_pid)
            if len(seen) <= times:
                action(conn)
        return done

    monkeypatch.setattr(runner, "execute", patched)
    return seen


def before_swap_message(
    monkeypatch: pytest.MonkeyPatch, action: Callable[[Connection], None], times: int = 1
) -> list[int]:
    """Runs `action` just before the swap asks for its first lock: after everything that the engine looked at beforehand."""
    from hyperferry.cutover import runner

    seen: list[int] = []

    def patched(conn: Connection, statement: Any, params: Any = None) -> Any:
        if is_swap(statement):
            seen.append(conn.info.backend_pid)
            if len(seen) <= times:
                action(conn)
        return execute(conn, statement, params)

    monkeypatch.setattr(runner, "execute", patched)
    return seen


class Proxy:
    """A way to the server that can be cut at the COMMIT of the swap: before the server sees it, or before we see its answer."""

    def __init__(self, db: Database) -> None:
        info = psycopg.conninfo.conninfo_to_dict(db.dsn)
        self.target = (str(info["host"]), int(str(info["port"])))
        self.listener = socket.create_server(("127.0.0.1", 0))
        port = self.listener.getsockname()[1]
        self.dsn = psycopg.conninfo.make_conninfo(
            db.dsn, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"
        )
        self.cut_at: str | None = None
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """No further connection is to be had."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(self.target)
        answers = threading.Event()
        answers.set()  # cleared: what the server says is not passed on any more
        answered = threading.Event()

        def back() -> None:
            with contextlib.suppress(OSError):
                while data := server.recv(65536):
                    if not answers.is_set():
                        answered.set()
                        break
                    client.sendall(data)
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=back, daemon=True).start()
        swapping = False
        with contextlib.suppress(OSError), client, server:
            while data := client.recv(1 << 20):
                swapping = swapping or b"SET SCHEMA" in data
                if swapping and b"COMMIT" in data and self.cut_at is not None:
                    self.cuts += 1
                    where, self.cut_at = self.cut_at, None
                    if where == "before":
                        return
                    answers.clear()
                    server.sendall(data)
                    answered.wait(10)
                    return
                server.sendall(data)


def outcome(future: Future[Any], seconds: float = 60) -> Any:
    """The answer of work that runs aside."""
    return future.result(seconds)


class Sessions:
    """Sessions of the application that do the same again and again, each transaction timed; errors are kept. Each rests
    `pause` seconds between its transactions, and begins `apart` seconds after the one before it."""

    def __init__(
        self, dsn: str, *works: Callable[[Connection], Any], pause: float = 0.05, apart: float = 0.0
    ) -> None:
        self.dsn = dsn
        self.stopping = threading.Event()
        self.errors: list[str] = []
        self.done = 0
        self.worst = 0.0
        self.pause = pause
        self.threads = [
            threading.Thread(target=self._run, args=(work, number * apart), daemon=True)
            for number, work in enumerate(works)
        ]

    def _run(self, work: Callable[[Connection], Any], after: float) -> None:
        time.sleep(after)
        with psycopg.connect(self.dsn, application_name="app") as conn:
            while not self.stopping.is_set():
                began = time.monotonic()
                try:
                    work(conn)
                    conn.commit()
                    self.done += 1
                except psycopg.Error as error:
                    self.errors.append(f"{error.sqlstate} {error}")
                    conn.rollback()
                self.worst = max(self.worst, time.monotonic() - began)
                time.sleep(self.pause)

    def __enter__(self) -> Sessions:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(20)
