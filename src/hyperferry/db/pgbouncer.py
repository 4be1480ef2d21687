"""PgBouncer's admin console: has the pools of a database wait while the swap takes its locks, and go on for certain.

PAUSE lets running transactions end and has new ones wait in PgBouncer, where no lock_timeout or statement_timeout of theirs runs.
A RESUME is certain even if this program dies: a process of its own (`pgbouncer_guard`) sends one when our end of a pipe to it
closes, or when a bound of seconds is over.
"""

from __future__ import annotations

import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ..errors import ConnectionFailed, Failed, Refused
from .connection import Connection, without_password

PAUSE_SECONDS = 2.0
"""How long PAUSE waits for running transactions: clients with new ones wait as well meanwhile."""
GUARD_SECONDS = 15.0
"""When the guard resumes at the latest: an attempt at the swap is over by then, whatever happens."""
NOT_PAUSED = "is not paused"


class PoolBusy(Failed):
    """Transactions in the pool did not end within PAUSE_SECONDS; the pool goes on."""


TRIES = 6
"""So many further sessions must see the first one. Of two processes behind one address all six meet the same once in 64 times."""


def admin(dsn: str, name: str = "hyperferry pool") -> Connection:
    """A session on the admin console. Raises ConnectionFailed, without the password."""
    try:
        conn = psycopg.connect(
            make_conninfo(dsn, dbname="pgbouncer"),
            autocommit=True,
            connect_timeout=10,
            application_name=name,
            options="",  # PGOPTIONS is for the server: PgBouncer takes none of it on its console
            prepare_threshold=None,
        )
    except psycopg.Error as error:
        raise ConnectionFailed(
            "Cannot connect to PgBouncer's admin console.",
            facts={"PgBouncer said": without_password(str(error).strip())},
            remedy="give --pgbouncer the address of PgBouncer and a user of its admin_users; the password by libpq's password "
            "file or PGPASSWORD.",
        ) from None
    return conn


def pools_of(conn: Connection, database: str, port: int) -> list[str]:
    """The names under which this PgBouncer leads to the database of a server with that port."""
    cursor = conn.execute("SHOW DATABASES")
    names = [column.name for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [
        str(row["name"])
        for row in rows
        if str(row["database"]) == database and int(row["port"]) == port and str(row["name"]) != "pgbouncer"
    ]


def refuse_several(dsn: str) -> None:
    """Raises Refused where several PgBouncers answer at one address (so_reuseport, or a balancer): a PAUSE would reach one of
    them, and the RESUME another."""
    name = f"hyperferry {secrets.token_hex(8)}"
    with admin(dsn, name):
        for _ in range(TRIES):
            with admin(dsn) as other:
                cursor = other.execute("SHOW CLIENTS")
                names = [column.name for column in cursor.description or ()]
                if "application_name" not in names:  # before PgBouncer 1.18 it cannot be known
                    return
                place = names.index("application_name")
                # With application_name_add_host the client's address stands behind it.
                if any(str(row[place]).startswith(name) for row in cursor.fetchall()):
                    continue
            raise Refused(
                "Several PgBouncers answer at one address: who is paused there need not be who is resumed.",
                facts={"PgBouncer": without_password(dsn)},
                remedy="give each its own address, with one --pgbouncer for each (with so_reuseport, each process's own Unix "
                "socket or port), or cut over without --pgbouncer.",
            )


def resume(conn: Connection, pool: str) -> None:
    """Lets the pool go on; does nothing where it does."""
    try:
        conn.execute(sql.SQL("RESUME {}").format(sql.Identifier(pool)))
    except psycopg.Error as error:
        if NOT_PAUSED not in str(error):
            raise


def _pause(conn: Connection, pool: str, seconds: float) -> bool:
    """Whether the pool stands still; what came of PAUSE is not known where it does not within the time."""
    wire = conn.pgconn
    wire.send_query(sql.SQL("PAUSE {}").format(sql.Identifier(pool)).as_bytes(conn))
    end = time.monotonic() + seconds
    while wire.is_busy():
        left = end - time.monotonic()
        if left <= 0:
            return False
        select.select([wire.socket], [], [], left)
        wire.consume_input()
    said = ""
    while (result := wire.get_result()) is not None:
        if result.status not in (psycopg.pq.ExecStatus.COMMAND_OK, psycopg.pq.ExecStatus.TUPLES_OK):
            said = result.error_message.decode(errors="replace")
    if said:
        raise Failed(
            f"PgBouncer does not pause the pool {pool}.",
            facts={"PgBouncer said": said.strip()},
            remedy="look what it is at with SHOW DATABASES; somebody may have paused it. RESUME lets it go on.",
        )
    return True


class Pools:
    """The pools of one database in one or several PgBouncers. Use as a context manager; `paused()` around each attempt."""

    def __init__(self, dsns: Sequence[str], database: str, port: int) -> None:
        self._dsns, self._database, self._port = dsns, database, port
        self._found: list[tuple[str, str]] = []
        self._guard: subprocess.Popen[str] | None = None

    def __enter__(self) -> Pools:
        for dsn in self._dsns:
            with admin(dsn) as conn:
                pools = pools_of(conn, self._database, self._port)
            if not pools:
                raise Refused(
                    "PgBouncer has no pool for this database.",
                    facts={
                        "database": self._database,
                        "port": self._port,
                        "PgBouncer": without_password(dsn),
                    },
                    remedy="compare with SHOW DATABASES on its admin console, and give the right --pgbouncer.",
                )
            refuse_several(dsn)
            self._found += [(dsn, pool) for pool in pools]
        if self._found:
            self._guard = _start_guard(self._found)
        return self

    def __exit__(self, *_: object) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            with suppress(OSError):
                assert guard.stdin is not None
                guard.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                guard.wait(10)

    def _tell(self, word: str) -> None:
        assert self._guard is not None
        assert self._guard.stdin is not None
        assert self._guard.stdout is not None
        try:
            self._guard.stdin.write(word + "\n")
            self._guard.stdin.flush()
            answer = self._guard.stdout.readline().strip()
        except OSError:
            answer = ""
        if answer != word:
            raise Failed(
                "The process that would resume the pools is gone; no pool is paused without it.",
                facts={"exit code": self._guard.poll()},
                remedy="run the same command again.",
            )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The pools stand still for the length of the block. Raises PoolBusy where transactions in them do not end; the pools go
        on then, and in any case at the end."""
        if not self._found:
            yield
            return
        self._tell("paused")  # before the first PAUSE: from now on the guard resumes if we do not
        try:
            end = time.monotonic() + PAUSE_SECONDS
            for dsn, pool in self._found:
                conn = admin(dsn)
                try:
                    if not _pause(conn, pool, max(0.1, end - time.monotonic())):
                        raise PoolBusy(
                            f"Transactions in PgBouncer's pool {pool} did not end within {PAUSE_SECONDS:.0f} s."
                        )
                finally:
                    conn.close()
            yield
        finally:
            self._resume_all()

    def _resume_all(self) -> None:
        failed = False
        for dsn, pool in self._found:
            try:
                with admin(dsn) as conn:
                    resume(conn, pool)
            except (psycopg.Error, ConnectionFailed):
                failed = True
        self._tell("resume" if failed else "resumed")


def _start_guard(pools: Sequence[tuple[str, str]]) -> subprocess.Popen[str]:
    """The guard, with its own sessions on the consoles open. What it is to resume goes through the pipe: a password has no place
    on a command line."""
    apart = {"start_new_session": True} if os.name == "posix" else {"creationflags": 0x200}  # its own group
    guard = subprocess.Popen(
        [sys.executable, "-m", "hyperferry.db.pgbouncer_guard", str(GUARD_SECONDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        **apart,
    )
    assert guard.stdin is not None
    assert guard.stdout is not None
    for dsn, pool in pools:
        guard.stdin.write(f"{dsn.encode().hex()} {pool.encode().hex()}\n")
    guard.stdin.write("\n")
    guard.stdin.flush()
    if guard.stdout.readline().strip() != "ready":
        guard.kill()
        raise Failed(
            "The process that would resume PgBouncer's pools did not start.",
            facts={"exit code": guard.wait()},
            remedy="run the same command again; without --pgbouncer no pool is paused.",
        )
    return guard
