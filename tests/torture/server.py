"""The harness's own servers: one for each process of the harness, which stops and starts it at will; databases on it."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from hyperferry import sandbox
from hyperferry.errors import HyperferryError
from hyperferry.sandbox.process import server_process

from .tables import APPLICATION, OWNER, Connection

SMALL_MB = 12
PATIENCE = 60.0
START_ATTEMPTS = 10


@dataclass
class Server:
    """A running server. `outages` are the times (monotonic) at which we stopped it and at which it answered again."""

    name: str
    dsn: str
    data_dir: Path
    small: Path | None
    outages: list[list[float]] = field(default_factory=list)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(conninfo_to_dict(self.dsn)["port"])

    def connect(self, database: str = "postgres", user: str = "postgres", **options: str) -> Connection:
        """An autocommit session, as the superuser unless said otherwise. Where we stopped the server it is waited for."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return psycopg.connect(self.address(database, user), autocommit=True, **options)  # type: ignore[arg-type]
            except psycopg.OperationalError:
                if not self.was_out(time.monotonic()) or time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def address(self, database: str, user: str, port: int | None = None) -> str:
        """A connection string; `port`: of a proxy before it."""
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}?sslmode=disable&gssencmode=disable"

    def restart(self) -> None:
        """Stops it as a power cut would stop its processes, and starts it again."""
        with self._one_at_a_time:
            self._restart()

    def _restart(self) -> None:
        outage = [time.monotonic(), float("inf")]
        self.outages.append(outage)
        pid = server_process(self.data_dir)
        if pid is not None:
            os.kill(pid, signal.SIGQUIT)
        end = time.monotonic() + 30
        while server_process(self.data_dir) is not None and time.monotonic() < end:
            time.sleep(0.02)
        for _ in range(START_ATTEMPTS):
            try:
                self.dsn = sandbox.up(self.name).dsn  # another port, where somebody took the last one meanwhile
                break
            except HyperferryError:
                time.sleep(1.0)
        outage[1] = time.monotonic()

    def was_out(self, when: float) -> bool:
        """Whether a session may have been lost because of us at that time."""
        return any(begin - 0.5 <= when <= end + 3.0 for begin, end in self.outages)

    def until_back(self) -> None:
        """Returns when nobody stops or starts it any more."""
        with self._one_at_a_time:
            return

    @contextmanager
    def database(self) -> Iterator[str]:
        """The name of an empty database with TimescaleDB."""
        name = f"torture_{uuid.uuid4().hex[:10]}"
        with self.connect() as conn:
            conn.execute(f"CREATE DATABASE {name} TEMPLATE template1")  # type: ignore[arg-type]
        try:
            yield name
        finally:
            with self.connect() as conn:
                for gid, database in conn.execute("SELECT gid, database FROM pg_prepared_xacts WHERE database = %s", [name]).fetchall():
                    with self.connect(str(database)) as inside:
                        inside.execute(f"ROLLBACK PREPARED '{gid}'")  # type: ignore[arg-type]
                conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]


_numbers = itertools.count(1)


def own_name(release: str) -> str:
    """A name for one more server of this process: a fixture's may still run while a test asks for its own."""
    return f"torture-{os.getpid()}-{next(_numbers)}-{release}"


@contextmanager
def server_of(release: str) -> Iterator[Server]:
    """A new server of the release, for as long as the block runs."""
    clear_dead()
    name = own_name(release)
    made = sandbox.up(name, release=release, fast=True)
    small = None
    try:
        with psycopg.connect(made.dsn, autocommit=True) as conn:
            # Processes are killed, never the machine: what was written need not be flushed, but it must have been written.
            conn.execute("ALTER SYSTEM SET synchronous_commit = on")
            conn.execute("ALTER SYSTEM SET autovacuum_naptime = '5s'")
            conn.execute("ALTER SYSTEM SET log_min_messages = log")
            conn.execute("SELECT pg_reload_conf()")
            # pg_monitor: to see whose snapshot is older than a swap.
            conn.execute(f"CREATE ROLE {OWNER} LOGIN IN ROLE pg_monitor; CREATE ROLE {APPLICATION} LOGIN")
            small = _small_disk(made.data_dir)
            if small is not None:
                conn.execute(f"CREATE TABLESPACE torture_small LOCATION '{small / 'space'}'")  # type: ignore[arg-type]
                conn.execute("GRANT CREATE ON TABLESPACE torture_small TO PUBLIC")
        yield Server(name, made.dsn, made.data_dir, small)
    finally:
        sandbox.down(name)
        if small is not None:
            subprocess.run(["umount", "--lazy", str(small)], check=False, capture_output=True)
            with suppress(OSError):
                small.rmdir()


def _small_disk(data_dir: Path) -> Path | None:
    """A file system of a few megabytes, where this user may mount one; else None, and no disk is ever full."""
    place = data_dir.parent.parent / f"{data_dir.parent.name}.small"
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_MB}m,mode=0755", "tmpfs", str(place)], check=False, capture_output=True)
    if done.returncode != 0:
        place.rmdir()
        return None
    owner = data_dir.stat()
    space = place / "space"
    space.mkdir(mode=0o700)
    os.chown(space, owner.st_uid, owner.st_gid)
    return place


def clear_dead() -> None:
    """Removes the servers of harness processes that are gone."""
    for each in sandbox.status():
        found = re.fullmatch(r"torture-(\d+)-\d+-\w+", each.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            sandbox.down(each.name)
            _unmount(each.data_dir.parent.parent / f"{each.name}.small")


def _unmount(place: Path) -> None:
    if place.exists():
        subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)
        with suppress(OSError):
            place.rmdir()
